// Small HTTP servers of a customer: one that authorises (P-6.6), one that takes webhooks, or whatever a test makes of them.
import { createServer } from 'node:http';
import { cleanup } from './cleanup.mjs';
import { HOST } from './server.mjs';
import { Inbox } from './wait.mjs';

/** Serves HTTP until `t` is over: `answer` gets the request, its body and the response. Gives the URL. */
export async function listen(t, answer) {
  const http = createServer((request, response) => {
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => answer(request, Buffer.concat(parts).toString(), response));
  });
  await new Promise((resolve) => http.listen(0, HOST, resolve));
  cleanup(t, () => {
    http.closeAllConnections();
    http.close();
  });
  return `http://${HOST}:${http.address().port}`;
}

/** Takes webhooks into an `Inbox`; `status(n)` gives the answer to the n-th request, from 0. */
export async function webhookReceiver(t, status = () => 200) {
  const requests = new Inbox('webhooks');
  const events = new Inbox('webhook events');
  let count = 0;
  const url = await listen(t, (request, body, response) => {
    const code = status(count++);
    response.writeHead(code).end();
    requests.push({ headers: request.headers, method: request.method, body, code });
    if (code === 200) for (const event of JSON.parse(body).events) events.push(event);
  });
  return { url: `${url}/hooks`, requests, events };
}

/** Takes requests and never answers; `asked` resolves with the first. */
export async function silentReceiver(t) {
  const asked = new Inbox('requests without an answer');
  const url = await listen(t, (request) => asked.push(request.url));
  return { url: `${url}/silent`, asked: asked.next() };
}

/**
 * Authorises channels and users with the library of the field. `member(channel)` gives presence data, `user` the signed-in
 * user, `refuse(channel)` says whom to answer 403. `forms` holds what the clients posted.
 */
export async function authEndpoint(t, api, { member = () => ({ user_id: 'u1' }), user, refuse = () => false } = {}) {
  const forms = new Inbox('forms of the auth endpoint');
  const url = await listen(t, (request, body, response) => {
    const form = Object.fromEntries(new URLSearchParams(body));
    forms.push({ path: request.url, method: request.method, type: request.headers['content-type'], form });
    if (refuse(form.channel_name)) return response.writeHead(403).end('no');
    const answer =
      form.channel_name === undefined
        ? api.authenticateUser(form.socket_id, user)
        : api.authorizeChannel(form.socket_id, form.channel_name, form.channel_name.startsWith('presence-') ? member(form) : undefined);
    return response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
  });
  return { channels: `${url}/pusher/auth`, users: `${url}/pusher/user-auth`, forms };
}
