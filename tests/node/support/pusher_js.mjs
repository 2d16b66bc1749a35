// pusher-js in Node, with what tests need around it: an inbox of events, right signatures, a clean end.
import Pusher from 'pusher-js';
import { cleanup } from './cleanup.mjs';
import { channelAuth, userAuth } from './sign.mjs';
import { Inbox, within } from './wait.mjs';

/** Signs for the app itself, as a customer's endpoint would. `member` is the presence data, `user` the signed-in user. */
export function localAuth(server, { member = { user_id: 'u1' }, user, refuse = () => false } = {}) {
  const channelData = JSON.stringify(member);
  return {
    channelAuthorization: {
      customHandler: ({ socketId, channelName }, done) => {
        if (refuse(channelName)) return done(new Error('refused by the endpoint'), null);
        const shared = channelName.startsWith('private-encrypted-') ? { shared_secret: sharedSecret(server, channelName) } : {};
        return channelName.startsWith('presence-')
          ? done(null, { auth: channelAuth(server.app, socketId, channelName, channelData), channel_data: channelData })
          : done(null, { auth: channelAuth(server.app, socketId, channelName), ...shared });
      },
    },
    userAuthentication: {
      customHandler: ({ socketId }, done) => {
        const userData = JSON.stringify(user);
        done(null, { auth: userAuth(server.app, socketId, userData), user_data: userData });
      },
    },
  };
}

/** The master key of encrypted channels in these tests, 32 bytes. */
export const MASTER_KEY = Buffer.alloc(32, 7).toString('base64');

function sharedSecret(server, channel) {
  return server.api({ encryptionMasterKeyBase64: MASTER_KEY }).channelSharedSecret(channel).toString('base64');
}

/** A client that is disconnected when `t` is over. `errors` holds `{ code, message }`, `states` the names of states. */
export function connect(t, server, options = {}) {
  const client = new Pusher(options.key ?? server.app.key, server.client({ ...localAuth(server, options.auth), ...options }));
  client.errors = new Inbox('connection errors');
  client.states = new Inbox('connection states');
  // An error comes bare, or wrapped when it ends the connection.
  client.connection.bind('error', (error) => client.errors.push(error.error?.data ?? error.data ?? error));
  client.connection.bind('state_change', ({ current }) => client.states.push(current));
  cleanup(t, () => client.disconnect());
  return client;
}

/** As [`connect`], and waits until it is connected. */
export async function connected(t, server, options) {
  const client = connect(t, server, options);
  await client.states.next((state) => state === 'connected', 'connected');
  return client;
}

/** Subscribes and waits for the confirmation. The channel gets an `inbox` of `{ name, data }`. */
export async function subscribe(client, name) {
  const channel = client.subscribe(name);
  channel.inbox = new Inbox(name);
  channel.bind_global((event, data) => channel.inbox.push({ name: event, data }));
  const answer = await within(
    new Promise((resolve) => {
      channel.bind('pusher:subscription_succeeded', (data) => resolve({ data }));
      channel.bind('pusher:subscription_error', (error) => resolve({ error }));
    }),
    `the subscription of ${name}`,
  );
  if (answer.error) throw Object.assign(new Error(`subscription of ${name} refused`), { answer: answer.error });
  channel.confirmation = answer.data;
  return channel;
}
