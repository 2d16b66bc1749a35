// What a client is told when it is made: pusher-client's names and defaults on one side, what the native part takes on the other.
'use strict';

const DEFAULTS = {
  protocol: 7,

  host: 'ws.pusherapp.com',
  wsPort: 80,
  wssPort: 443,
  path: '',
  activityTimeout: undefined,
  pongTimeout: 30_000,
  unavailableTimeout: 10_000,

  secret: null,
  authEndpoint: null,
  userAuthEndpoint: null,
};

/** Longer than any server asks for: without a wish of its own a client pings when the server says so. */
const NO_WISH = 24 * 60 * 60 * 1000;

/** The whole configuration: `options` over the cluster's host over the defaults. What is undefined counts as left out. */
function complete(options = {}) {
  const config = { ...DEFAULTS };
  if (options.cluster) config.host = `ws-${options.cluster}.pusher.com`;
  for (const [name, value] of Object.entries(options)) {
    if (value !== undefined) config[name] = value;
  }
  return config;
}

/** The same as the native part takes it, in JSON. */
function forNative(key, config) {
  const auth = config.auth ?? {};
  const isWhole = auth.username && auth.password;
  return JSON.stringify({
    // As pusher-client does it, a missing key is left to the server to refuse.
    key: String(key || undefined),
    host: String(config.host),
    wsPort: port('wsPort', config.wsPort),
    wssPort: port('wssPort', config.wssPort),
    encrypted: Boolean(config.encrypted),
    path: prefix(config.path || config.wsPath || ''),
    secret: text('secret', config.secret),
    channelData: JSON.stringify(config.channel_data ?? { user_id: `node-process-${process.pid}` }),
    userData: config.userData ? JSON.stringify(config.userData) : undefined,
    encryptionMasterKey: text('encryptionMasterKey', config.encryptionMasterKey),
    authEndpoint: text('authEndpoint', config.authEndpoint),
    userAuthEndpoint: text('userAuthEndpoint', config.userAuthEndpoint),
    auth: {
      params: pairs(auth.params),
      headers: Object.entries(auth.headers ?? {}).flatMap(([name, value]) => [value].flat().map((one) => [name, String(one)])),
      username: isWhole ? String(auth.username) : undefined,
      password: isWhole ? String(auth.password) : undefined,
    },
    activityTimeout: milliseconds('activityTimeout', config.activityTimeout ?? NO_WISH),
    pongTimeout: milliseconds('pongTimeout', config.pongTimeout),
    unavailableTimeout: milliseconds('unavailableTimeout', config.unavailableTimeout),
    useProxy: proxied(config.proxy),
    ca: text('ca', config.ca),
  });
}

function text(name, value) {
  if (value === null || value === undefined || value === '') return undefined;
  if (typeof value !== 'string') throw new TypeError(`${name} must be a string, not ${typeof value}`);
  return value;
}

function port(name, value) {
  const number = Number(value);
  if (!Number.isInteger(number) || number < 1 || number > 65_535) throw new TypeError(`${name} must be a port from 1 to 65535, not ${value}`);
  return number;
}

function milliseconds(name, value) {
  const number = Math.ceil(Number(value));
  if (!(number > 0 && number <= 0x7fffffff)) throw new TypeError(`${name} must be a positive number of milliseconds, not ${value}`);
  return number;
}

function prefix(path) {
  const bare = String(path).replace(/^\/+|\/+$/g, '');
  return bare === '' ? '' : `/${bare}`;
}

function proxied(value) {
  if (value === undefined || value === null || value === true) return true;
  if (value === false) return false;
  throw new TypeError('proxy must be true, for the proxy that HTTP_PROXY and its like name, or false');
}

/** Members of a form, nested ones as `name[inner]`. */
function pairs(value, name) {
  if (value === undefined) return [];
  if (value === null) return name === undefined ? [] : [[name, '']];
  if (value instanceof Date) return [[name, value.toISOString()]];
  if (typeof value !== 'object') return [[name, String(value)]];
  return Object.entries(value).flatMap(([inner, one]) => pairs(one, name === undefined ? inner : `${name}[${inner}]`));
}

module.exports = { complete, forNative };
