// The interface of the package. It extends that of pusher-client 1.1.0.

import { EventEmitter } from 'node:events';

/** A client: a connection to a Pusher-compatible server and the channels it is subscribed to. */
declare class Pusher {
  /** Connects at once, unless `Pusher.autoConnect` is false. Throws if an option is of no use. */
  constructor(appKey: string, options?: Pusher.Options);

  /** Whether new clients connect at once. True by default. */
  static autoConnect: boolean;
  /** To be set to a function that takes what is logged; nothing is logged without. */
  static log: ((...values: unknown[]) => void) | undefined;
  static debug(...values: unknown[]): void;
  /** Takes errors of all clients. Writes them to standard output, unless it is replaced. */
  static warn(...values: unknown[]): void;

  readonly key: string;
  readonly config: Pusher.Configuration;
  readonly connection: Pusher.Connection;
  readonly user: Pusher.User;

  /** Connects, unless it is connected or connecting. */
  connect(): void;
  /** Disconnects. Channels are kept for the next time; the process may end. */
  disconnect(): void;

  /** Subscribes, now or as soon as there is a connection, and on every further connection. */
  subscribe(name: `presence-${string}`): Pusher.PresenceChannel;
  subscribe(name: string): Pusher.Channel;
  unsubscribe(name: string): void;
  /** A channel that is or is being subscribed to. */
  channel(name: `presence-${string}`): Pusher.PresenceChannel | undefined;
  channel(name: string): Pusher.Channel | undefined;
  allChannels(): Pusher.Channel[];

  /** Has `callback` called with the data of all events of this name. */
  bind<Data = any>(event: string, callback: (data: Data) => void): this;
  /** Without `callback`, all listeners to the event; without both, all listeners to any event. */
  unbind(event?: string, callback?: (data: any) => void): this;
  /** Has `callback` called with name and data of all events. */
  bindAll(callback: (event: string, data: any) => void): this;
  bind_all(callback: (event: string, data: any) => void): this;
  unbindAll(callback?: (event: string, data: any) => void): this;
  unbind_all(callback?: (event: string, data: any) => void): this;

  /** Sends an event. Says whether there is a connection to send it by. */
  sendEvent(name: string, data?: unknown, channel?: string): boolean;
  /** Signs in, on this connection and all that follow. Needs `secret` and `userData`, or `userAuthEndpoint`. */
  signin(): void;
  isEncrypted(): boolean;
}

declare namespace Pusher {
  export interface Options {
    /** Whether to speak TLS. False by default. */
    encrypted?: boolean;
    /** The app's secret: channels and users are signed with it, and no endpoint is asked. Only where nobody can read it who must not. */
    secret?: string | null;
    /** Whom presence channels show when they are signed with `secret`. */
    channel_data?: { user_id: string | number; user_info?: object };
    /** Where to ask for the signatures of channels. */
    authEndpoint?: string | null;
    /** What goes with the requests to the endpoints. */
    auth?: Auth;
    /** A cluster of Pusher's, such as `eu`. */
    cluster?: string;
    /** The server. `ws.pusherapp.com` by default. */
    host?: string;
    /** 80 by default. */
    wsPort?: number | string;
    /** 443 by default. */
    wssPort?: number | string;
    /** Milliseconds of silence after which the server is pinged, if it does not ask for fewer itself. */
    activityTimeout?: number;
    /** Milliseconds that the answer to a ping may take. 30,000 by default. */
    pongTimeout?: number;
    /** Milliseconds without a connection until the state is `unavailable`. 10,000 by default. */
    unavailableTimeout?: number;
    /** Has no effect: the protocol spoken is 7. */
    protocol?: number;

    /** What stands before `/app/` in the server's paths. */
    path?: string;
    /** The same. */
    wsPath?: string;
    /** A PEM file with certificates of authorities to believe besides those of the web. */
    ca?: string;
    /** Whether to go through the proxy that `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` name. True by default. */
    proxy?: boolean;
    /** The app's master key, as base64: with `secret`, encrypted channels are decrypted with it. */
    encryptionMasterKey?: string;
    /** Where to ask for the signature of the user. */
    userAuthEndpoint?: string | null;
    /** Whom to sign in when that is signed with `secret`. */
    userData?: UserData;
  }

  export interface Auth {
    /** Members of the posted form. */
    params?: Record<string, unknown>;
    headers?: Record<string, string | number | readonly string[]>;
    /** With `password`, for HTTP Basic. */
    username?: string;
    password?: string;
  }

  export interface UserData {
    id: string;
    user_info?: object;
    watchlist?: string[];
  }

  export interface Configuration extends Options {
    host: string;
    wsPort: number | string;
    wssPort: number | string;
    protocol: number;
    pongTimeout: number;
    unavailableTimeout: number;
  }

  export type State = 'initialized' | 'connecting' | 'connected' | 'unavailable' | 'disconnected';

  export interface StateChange {
    previous: State;
    current: State;
  }

  /** Something went wrong: with the connection, by the server's word, with a message that cannot be read, or that cannot be decrypted. */
  export type ConnectionError =
    | { type: 'WebSocketError'; error: string }
    | { type: 'PusherError'; data: { code: number | null; message: string } }
    | { type: 'MessageParseError'; error: { type: 'MessageParseError'; error: Error; data: string }; data: string }
    | { type: 'DecryptionError'; channel: string; event: string; error: string };

  /** A message of the server, its data read. */
  export interface Message {
    event: string;
    channel?: string;
    data?: any;
    user_id?: string;
    [other: string]: unknown;
  }

  export interface ConnectionEvents {
    state_change: [change: StateChange];
    connecting: [];
    connected: [];
    unavailable: [];
    disconnected: [];
    /** Seconds until the next attempt. */
    connecting_in: [seconds: number];
    error: [error: ConnectionError];
    message: [message: Message];
    ping: [];
    pong: [];
  }

  export interface Connection extends EventEmitter {
    readonly state: State;
    /** The name of the last connection, by which a server can leave it out of what it publishes. */
    readonly socket_id: string | null;
    readonly key: string;
    readonly encrypted: boolean;

    connect(): void;
    disconnect(): void;
    sendEvent(name: string, data?: unknown, channel?: string): boolean;

    on<Name extends keyof ConnectionEvents>(event: Name, callback: (...values: ConnectionEvents[Name]) => void): this;
    on(event: string | symbol, callback: (...values: any[]) => void): this;
    once<Name extends keyof ConnectionEvents>(event: Name, callback: (...values: ConnectionEvents[Name]) => void): this;
    once(event: string | symbol, callback: (...values: any[]) => void): this;
    bind<Name extends keyof ConnectionEvents>(event: Name, callback: (...values: ConnectionEvents[Name]) => void): this;
    bind(event: string, callback: (...values: any[]) => void): this;
    unbind(event: string, callback: (...values: any[]) => void): this;
  }

  export interface Channel extends EventEmitter {
    readonly name: string;
    readonly pusher: Pusher;
    /** Whether the subscription is in force. */
    readonly subscribed: boolean;
    /** How many connections are subscribed, if the server tells. */
    readonly subscription_count: number | undefined;

    /** Has `callback` called with the data of events of this name. */
    bind<Data = any>(event: string, callback: (data: Data) => void): this;
    /** Without `callback`, all listeners to the event; without both, all listeners. */
    unbind(event?: string, callback?: (data: any) => void): this;
    /** Has `callback` called with name and data of all events of the channel. */
    bindAll(callback: (event: string, data: any) => void): this;
    bind_all(callback: (event: string, data: any) => void): this;
    unbindAll(callback?: (event: string, data: any) => void): this;
    unbind_all(callback?: (event: string, data: any) => void): this;
    /** Sends a client event. Says whether there is a connection to send it by. Throws on encrypted channels. */
    trigger(event: string, data?: unknown): boolean;
  }

  export interface PresenceChannel extends Channel {
    readonly members: Members;
  }

  export interface Member<Info = any> {
    id: string | number;
    info: Info;
  }

  export interface Members<Info = any> {
    readonly count: number;
    /** The id of this client's own member. */
    readonly myID: string | number | null;
    readonly me: Member<Info> | null | undefined;
    /** Infos by id. */
    readonly members: Record<string, Info>;
    get(id: string | number): Member<Info> | undefined;
    each(callback: (member: Member<Info>) => void): void;
  }

  export interface User extends EventEmitter {
    /** The id, while signed in. */
    readonly id: string | undefined;
    readonly user_data: UserData | undefined;
    /** `online` and `offline`, of users on the watchlist. */
    readonly watchlist: Watchlist;
    /** Has `callback` called with the data of events sent to this user. */
    bind<Data = any>(event: string, callback: (data: Data) => void): this;
    unbind(event?: string, callback?: (data: any) => void): this;
  }

  export interface Watchlist extends EventEmitter {
    bind(event: 'online' | 'offline', callback: (change: { name: 'online' | 'offline'; user_ids: string[] }) => void): this;
    unbind(event?: 'online' | 'offline', callback?: (change: any) => void): this;
  }

  export { Pusher, Pusher as default };
}

export = Pusher;
