// The try-it page: pusher-js against the server that served it. No framework; every text goes in as text, never as markup.
"use strict";

const EVENTS_MAX = 200;
const OWN = { "x-tidings-console": "1" }; // a foreign page cannot set it without being asked first, so it cannot publish
const find = (id) => document.getElementById(id);
const channels = new Map();

start().catch((error) => showState("failed", error.message));

async function start() {
  const answer = await fetch("console/config");
  if (!answer.ok) throw new Error(`no configuration (${answer.status})`);
  const config = await answer.json();
  const options = clientOptions(config);
  find("options").textContent = `new Pusher(${JSON.stringify(config.key)}, ${literal(options)});`;
  find("env").textContent = environment(config);

  const client = new Pusher(config.key, {
    ...options,
    channelAuthorization: { endpoint: "console/auth", transport: "ajax", headers: OWN },
  });
  client.connection.bind("state_change", ({ current }) => showState(current));
  client.connection.bind("error", (error) => {
    const told = error.error?.data ?? error.data;
    if (told?.message) showState(client.connection.state, told.message);
  });
  showState(client.connection.state);

  find("subscribe").addEventListener("submit", (submit) => {
    submit.preventDefault();
    listen(client, find("channel").value.trim());
    find("target").value = find("channel").value.trim();
  });
  find("publish").addEventListener("submit", (submit) => {
    submit.preventDefault();
    publish();
  });
}

/** The options that a client of this server needs; shown on the page and used by it. */
function clientOptions({ host, port, tls, path_prefix: prefix }) {
  const options = { cluster: "", wsHost: host, wsPort: port, wssPort: port, forceTLS: tls, enabledTransports: ["ws", "wss"] };
  return prefix ? { ...options, wsPath: prefix } : options;
}

function literal(options) {
  const lines = Object.entries(options).map(([name, value]) => `  ${name}: ${JSON.stringify(value).replaceAll('","', '", "')},`);
  return `{\n${lines.join("\n")}\n}`;
}

function environment({ key, app_id: id, host, port, tls, path_prefix: prefix }) {
  const lines = [
    "BROADCAST_CONNECTION=pusher",
    `PUSHER_APP_ID=${id}`,
    `PUSHER_APP_KEY=${key}`,
    'PUSHER_APP_SECRET="the secret of this app"',
    `PUSHER_HOST=${host}`,
    `PUSHER_PORT=${port}`,
    `PUSHER_SCHEME=${tls ? "https" : "http"}`,
    "PUSHER_APP_CLUSTER=mt1",
    'VITE_PUSHER_APP_KEY="${PUSHER_APP_KEY}"',
    'VITE_PUSHER_HOST="${PUSHER_HOST}"',
    'VITE_PUSHER_PORT="${PUSHER_PORT}"',
    'VITE_PUSHER_SCHEME="${PUSHER_SCHEME}"',
  ];
  return [...lines, ...(prefix ? [`# the client also needs wsPath: ${JSON.stringify(prefix)}`] : [])].join("\n");
}

function showState(state, detail) {
  const pill = find("state");
  pill.dataset.state = state;
  pill.textContent = detail ? `${state}: ${detail}` : state;
}

/** Subscribes, unless the page listens to that channel already. A refused channel may be tried again. */
function listen(client, name) {
  if (channels.get(name)?.dataset.state === "subscribed") return;
  leave(client, name);
  const line = element("li", { state: "waiting" }, [element("span.name", name), element("span.fact", "subscribing")]);
  const button = element("button.quiet", "Leave");
  button.type = "button";
  button.setAttribute("aria-label", `Leave ${name}`);
  button.addEventListener("click", () => leave(client, name));
  line.append(button);
  find("channels").append(line);
  channels.set(name, line);

  const channel = client.subscribe(name);
  const tell = (state, text) => {
    line.dataset.state = state;
    line.querySelector(".fact").textContent = text;
  };
  const count = () => `subscribed, ${channel.members.count} ${channel.members.count === 1 ? "member" : "members"}`;
  channel.bind_global((event, data) => {
    if (event === "pusher:subscription_error") tell("refused", `refused: ${data?.error ?? "unknown reason"}`);
    else if (event === "pusher:subscription_succeeded" || event.startsWith("pusher:member_")) tell("subscribed", channel.members ? count() : "subscribed");
    show(name, event, data);
  });
}

function leave(client, name) {
  channels.get(name)?.remove();
  channels.delete(name);
  client.channel(name)?.unbind();
  client.channel(name)?.unbind_global();
  client.unsubscribe(name);
}

async function publish() {
  const told = find("published");
  const body = JSON.stringify({ channel: find("target").value.trim(), event: find("event").value, data: find("data").value });
  try {
    const answer = await fetch("console/publish", { method: "POST", headers: { ...OWN, "content-type": "application/json" }, body });
    const refusal = answer.ok ? "" : (await answer.text()).trim() || `refused (${answer.status})`;
    told.textContent = refusal;
  } catch {
    told.textContent = "the server did not answer";
  }
  told.classList.toggle("bad", told.textContent !== "");
}

function show(channel, event, data) {
  find("empty").hidden = true;
  const time = element("time", new Date().toLocaleTimeString([], { hour12: false }));
  const line = element("li", {}, [time, element("span.channel", channel), element("span.event", event)]);
  if (event.startsWith("pusher:")) line.classList.add("internal");
  const text = typeof data === "string" ? data : JSON.stringify(data ?? {});
  if (text !== "" && text !== "{}") line.append(element("pre", text));
  const list = find("events");
  list.prepend(line);
  while (list.children.length > EVENTS_MAX) list.lastElementChild.remove();
}

/** An element `tag.class` with a text, or with data attributes and children. */
function element(selector, content, children = []) {
  const [tag, name] = selector.split(".");
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (typeof content === "string") made.textContent = content;
  else Object.assign(made.dataset, content);
  made.append(...children);
  return made;
}

find("clear").addEventListener("click", () => {
  find("events").replaceChildren();
  find("empty").hidden = false;
});

for (const button of document.querySelectorAll("[data-copy]")) {
  const label = button.textContent;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(find(button.dataset.copy).textContent);
    button.textContent = "Copied";
    button.addEventListener("blur", () => (button.textContent = label), { once: true });
  });
}
