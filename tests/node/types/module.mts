// What a program writes, for the compiler to check; where it says that it expects an error, there must be one.
import Pusher, { Pusher as Named } from 'tidings-client';
import type { EventEmitter } from 'node:events';

Pusher.autoConnect = false;
Pusher.log = (...values) => console.log(values.length);
Pusher.warn = () => {};

const pusher = new Named('key', {
  encrypted: true,
  secret: 'secret',
  channel_data: { user_id: 'ada', user_info: { name: 'Ada' } },
  authEndpoint: 'http://localhost/auth',
  auth: { params: { token: 't', list: [1] }, headers: { 'X-A': 'b' }, username: 'u', password: 'p' },
  cluster: 'eu',
  host: 'localhost',
  wsPort: 6001,
  wssPort: '6002',
  activityTimeout: 1000,
  pongTimeout: 1000,
  unavailableTimeout: 1000,
  protocol: 7,
  path: '/push',
  wsPath: '/push',
  ca: '/etc/ca.pem',
  proxy: false,
  encryptionMasterKey: 'AAAA',
  userAuthEndpoint: 'http://localhost/user-auth',
  userData: { id: 'ada', user_info: {}, watchlist: ['bob'] },
});
// @ts-expect-error: there is no such option
new Pusher('key', { wsHost: 'localhost' });
// @ts-expect-error: a key is needed
new Pusher();
// @ts-expect-error: it is a file's name
new Pusher('key', { ca: true });

const channel: Pusher.Channel = pusher.subscribe('news');
const presence = pusher.subscribe('presence-room');
const members: Pusher.Members = presence.members;
const me: string | number | undefined = members.me?.id;
members.each(({ id, info }) => console.log(id, info.name));
presence.bind('pusher:subscription_succeeded', (all: Pusher.Members) => console.log(all.count));
presence.bind('pusher:member_added', (member: Pusher.Member<{ name: string }>) => console.log(member.info.name.length));
// @ts-expect-error: a public channel has no members
channel.members;
// @ts-expect-error: the server confirms, not the program
channel.subscribed = true;

channel.bind<{ price: number }>('new-price', ({ price }) => console.log(price.toFixed()));
channel.bind('new-price', (data) => console.log(data.price)).unbind('new-price');
channel.bind_all((event, data) => console.log(event.length, data)).unbind_all();
channel.once('new-price', () => {});
const sent: boolean = channel.trigger('client-typing', { who: me });
const emitters: EventEmitter[] = [channel, pusher.connection, pusher.user];

pusher.bind('new-comment', (data) => console.log(data)).bindAll((event) => console.log(event.length)).unbind();
pusher.connection.bind('state_change', ({ previous, current }) => console.log(previous === 'connecting', current));
pusher.connection.on('error', (error) => {
  if (error.type === 'PusherError') console.log(error.data.code, error.data.message);
  else if (error.type === 'DecryptionError') console.log(error.channel);
  else console.log(error.error);
});
pusher.connection.bind('connecting_in', (seconds) => console.log(seconds.toFixed()));
// @ts-expect-error: there is no such state
pusher.connection.state === 'failed';
const socketId: string | null = pusher.connection.socket_id;

pusher.signin();
pusher.user.bind('letter', (data) => console.log(data));
pusher.user.watchlist.bind('online', ({ user_ids }) => console.log(user_ids.length));
const found: Pusher.Channel | undefined = pusher.channel('news');
const all: Pusher.Channel[] = pusher.allChannels();
console.log(sent, emitters, socketId, found, all, pusher.isEncrypted(), pusher.sendEvent('client-x', {}, 'private-x'));
pusher.unsubscribe('news');
pusher.connect();
pusher.disconnect();
