// A relay and its Redis: ends and new beginnings under load, ways to connect, and clients that do not keep up with what it publishes.
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { cleanup } from './support/cleanup.mjs';
import { RedisClient, startRedis, startSentinel } from './support/redis.mjs';
import { HOST, freePort, newApp, startServer } from './support/server.mjs';
import { PREFIX, Relay, eventually, startRelay, stream, told, websocket } from './support/wspush.mjs';

const status = (url) => fetch(url).then(({ status: code }) => code);
const text = (url) => fetch(url).then((answer) => answer.text());

/** Numbers that a client got, read until `last` has come. */
async function numbers(one, last) {
  const got = [];
  for (;;) {
    const text = one.block ? (await told(one)).slice('data:'.length, -2) : Buffer.from((await one.message()).slice(4), 'hex').toString();
    got.push(Number(text));
    if (got.at(-1) === last) return got;
    assert.ok(got.at(-1) < last, `${got.at(-1)} came, and not ${last}`);
  }
}

describe('Redis ends and comes back', () => {
  test('W-2.5 W-2.7 W-2.9 W-10.6 under load clients stay, and nothing that reached the server is lost', async (t) => {
    const redis = await startRedis(t);
    const relay = await startRelay(t, redis);
    const all = [];
    for (const token of ['a', 'b']) for (const connect of [websocket, stream]) all.push({ token, client: await connect(t, relay, token) });
    const sure = [];
    let number = 10;
    const rounds = 4;
    for (let round = 0; round <= rounds; round += 1) {
      const publisher = await redis.client(t);
      const publish = async () => {
        const mine = number;
        number += 1;
        const receivers = await Promise.all(['a', 'b'].map((token) => publisher.publish(PREFIX + token, String(mine))));
        return [mine, Math.min(...receivers)];
      };
      // From the first one that reaches the server on, every one does.
      let reached = 0;
      while (reached < 1500) {
        const [mine, receivers] = await publish();
        if (receivers === 0) assert.equal(reached, 0, 'it does not leave by itself');
        else {
          sure.push(mine);
          reached += 1;
        }
      }
      if (round === rounds) break;
      assert.deepEqual([await status(`${relay.statistics.url}/ready`), (await relay.vars()).redis_connected], [200, 1]);
      // It is killed in the middle of more; of those, only what was followed by an answer is known to have left it.
      const ended = assert.rejects(async () => {
        for (;;) sure.push((await publish())[0]);
      }, /closed/);
      await redis.kill();
      await ended;
      sure.pop();
      publisher.end();
      await relay.vary(({ redis_connected: connected }) => connected === 0);
      assert.equal(await status(`${relay.statistics.url}/ready`), 503);
      assert.match(await text(`${relay.statistics.url}/health`), /redis.*away/i);
      assert.equal(await status(`${relay.url}/ping`), 200);
      await redis.start();
    }
    const { redis_reconnects: reconnects, sessions_open: open, sessions_seen: seen, dropped, closed_slow: slow } = await relay.vars();
    assert.deepEqual({ reconnects, open, seen, dropped, slow }, { reconnects: rounds, open: all.length, seen: all.length, dropped: 0, slow: 0 });
    assert.equal(await status(`${relay.statistics.url}/ready`), 200);
    for (const { client, token } of all) {
      const got = await numbers(client, sure.at(-1));
      got.reduce((before, one) => (assert.ok(one > before, `${one} after ${before}`), one));
      const there = new Set(got);
      assert.deepEqual(sure.filter((one) => !there.has(one)), [], token);
    }
  });

  test('W-2.5 the server starts without Redis, takes clients, and subscribes as soon as it is there', async (t) => {
    const redis = await startRedis(t);
    await redis.kill();
    const relay = new Relay(await freePort(), await freePort(), ['-redis', redis.address, '-prefix', PREFIX]);
    relay.readiness = () => `${relay.url}/ping`;
    cleanup(t, () => relay.stop());
    await relay.start();
    assert.equal(await status(`${relay.statistics.url}/ready`), 503);
    const [frames, events] = [await websocket(t, relay, 'early'), await stream(t, relay, 'early')];
    await redis.start();
    const publisher = await redis.client(t);
    await eventually(() => publisher.publish(`${PREFIX}early`, 'there'), (receivers) => receivers === 1);
    assert.equal(await frames.text(), 'there');
    assert.equal(await events.block(), 'data:there\n\n');
    await relay.vary(({ redis_connected: connected }) => connected === 1);
    assert.equal(await status(`${relay.statistics.url}/ready`), 200);
  });

  test('W-2.4 W-2.5 a connection that Redis cuts is made anew', async (t) => {
    const redis = await startRedis(t);
    const relay = await startRelay(t, redis);
    const publisher = await redis.client(t);
    const frames = await websocket(t, relay, 'cut');
    for (let round = 1; round <= 3; round += 1) {
      assert.ok((await publisher.command('CLIENT', 'KILL', 'TYPE', 'pubsub')) >= 1);
      await relay.vary(({ redis_reconnects: count, redis_connected: connected }) => count === round && connected === 1);
      assert.equal(await publisher.publish(`${PREFIX}cut`, String(round)), 1);
      assert.equal(await frames.text(), String(round));
    }
  });

  test('W-2.5 a Redis that has fallen silent is noticed', async (t) => {
    const redis = await startRedis(t);
    const relay = await startRelay(t, redis);
    const frames = await websocket(t, relay, 'silent');
    redis.process.kill('SIGSTOP');
    cleanup(t, () => redis.process.kill('SIGCONT'));
    // 30 s of silence, 10 s for an answer.
    await eventually(() => relay.vars(), ({ redis_connected: connected }) => connected === 0, 60_000);
    assert.equal(await status(`${relay.statistics.url}/ready`), 503);
    redis.process.kill('SIGCONT');
    await relay.vary(({ redis_connected: connected }) => connected === 1);
    const publisher = await redis.client(t);
    await publisher.publish(`${PREFIX}silent`, 'again');
    assert.equal(await frames.text(), 'again');
  });
});

const shared = await startRedis({ after });

describe('ways to Redis', () => {
  test('W-2.1 W-2.6 a prefix is what it says, to the letter', async (t) => {
    const publisher = await shared.client(t);
    for (const [prefix, near] of [['a*[b]?\\', 'aXXbYc'], ['*', 'x'], ['[ab].', 'a.'], ['w?.', 'wx.'], ['back\\slash.', 'backslash.'], ['^é ü.', 'e u.']]) {
      const relay = await startRelay(t, shared, { prefix });
      const [frames, events] = [await websocket(t, relay, 'Foo'), await stream(t, relay, 'Foo')];
      assert.equal(await publisher.publish(`${near}Foo`, 'for others'), 0, prefix);
      assert.equal(await publisher.publish(`${prefix}Foo`, 'for it'), 1, prefix);
      assert.equal(await frames.text(), 'for it');
      assert.equal(await events.block(), 'data:for it\n\n');
      frames.end();
      await relay.stop();
    }
  });

  test('W-2.1 it subscribes once, and publishes nothing', async (t) => {
    const own = await startRedis(t);
    const publisher = await own.client(t);
    const relay = await startRelay(t, own);
    const frames = await websocket(t, relay, 'Foo');
    frames.send(1, 'from a client');
    await publisher.publish(`${PREFIX}Foo`, 'm');
    assert.equal(await frames.text(), 'm');
    assert.deepEqual([await publisher.command('PUBSUB', 'NUMPAT'), await publisher.command('PUBSUB', 'CHANNELS')], [1, []]);
    const counts = await publisher.command('INFO', 'commandstats');
    assert.match(counts, /cmdstat_psubscribe:calls=1,/);
    assert.match(counts, /cmdstat_publish:calls=1,/);
  });

  test('W-2.8 user, password and database in the URL', async (t) => {
    const locked = await startRedis(t, { requirepass: 'p@ss word', user: ['alice', 'on', '>s3cret/', '~*', '&*', '+@all'] });
    const publisher = await locked.client(t);
    await publisher.command('AUTH', 'p@ss word');
    for (const inside of [':p%40ss%20word@', 'alice:s3cret%2F@', 'default:p%40ss%20word@']) {
      for (const database of ['', '/', '/3']) {
        const relay = await startRelay(t, { address: `redis://${inside}${locked.address}${database}` });
        const frames = await websocket(t, relay, 'Foo');
        assert.equal(await publisher.publish(`${PREFIX}Foo`, inside), 1);
        assert.equal(await frames.text(), inside);
        frames.end();
        await relay.stop();
        assert.ok(!/p@ss|p%40ss|s3cret/.test(relay.log), relay.log);
      }
    }
  });

  test('W-2.8 W-2.9 a wrong password is no way in, and is said', async (t) => {
    const locked = await startRedis(t, { requirepass: 'right' });
    const relay = new Relay(await freePort(), await freePort(), ['-redis', `redis://:wr0ng@${locked.address}`, '-prefix', PREFIX]);
    relay.readiness = () => `${relay.url}/ping`;
    cleanup(t, () => relay.stop());
    await relay.start();
    await eventually(() => relay.log, (log) => /redis/i.test(log) && /WRONGPASS|password/i.test(log));
    assert.equal(await status(`${relay.statistics.url}/ready`), 503);
    assert.equal((await relay.vars()).redis_connected, 0);
    assert.ok(!relay.log.includes('wr0ng'), relay.log);
    const publisher = await locked.client(t);
    await publisher.command('AUTH', 'right');
    await publisher.command('CONFIG', 'SET', 'requirepass', 'wr0ng');
    await relay.vary(({ redis_connected: connected }) => connected === 1);
  });
});

test('W-2.5 W-2.8 a sentinel says where Redis is, and where it is when that has failed', async (t) => {
  const master = await startRedis(t);
  const replica = await startRedis(t, { replicaof: [HOST, master.port], 'repl-diskless-sync-delay': 0 });
  const [first, second] = [await master.client(t), await replica.client(t)];
  await eventually(() => second.command('INFO', 'replication'), (text) => text.includes('master_link_status:up'));
  const sentinel = await startSentinel(t, master, 'the-master');
  const asks = await sentinel.client(t);
  await eventually(() => asks.command('SENTINEL', 'REPLICAS', 'the-master'), (replicas) => replicas.length === 1 && replicas[0].includes('ok'));
  const app = newApp();
  const statistics = `${HOST}:${await freePort()}`;
  const server = await startServer(t, {
    app,
    listener: { dialects: ['wspush'] },
    listeners: [{ address: statistics, dialects: ['wspush-statistics'] }],
    settings: { wspush: [{ app: app.id, prefix: PREFIX, sentinels: [sentinel.address], sentinel_master: 'the-master' }] },
  });
  const all = [await websocket(t, server, 'Foo'), await stream(t, server, 'Foo')];
  const told = async (publisher, text) => {
    await eventually(() => publisher.publish(`${PREFIX}Foo`, text), (receivers) => receivers === 1);
    assert.equal(await all[0].text(), text);
    assert.equal(await all[1].block(), `data:${text}\n\n`);
  };
  // What is published at the master comes to its replica too, but nobody listens there.
  await told(first, 'at the master');
  assert.equal(await second.command('PUBSUB', 'NUMPAT'), 0);
  await master.kill();
  // The sentinel throws all clients out that the replica had.
  await eventually(async () => {
    const asking = await RedisClient.connect(replica);
    const role = await asking.command('ROLE').catch(() => ['away']);
    asking.end();
    return role;
  }, ([role]) => role === 'master');
  await told(await replica.client(t), 'at the one that was its replica');
  assert.equal((await (await fetch(`http://${statistics}/debug/vars`)).json()).wspush.redis_reconnects, 1);
});

describe('clients that do not read', () => {
  const SIZE = 65_536;
  const named = (at) => Buffer.from(`${at}:`.padEnd(SIZE, 'x'));

  /** A relay with one client that reads nothing and one that reads all, of the same token, and what publishes there until `enough`. */
  async function stuck(t, connect, flags) {
    const redis = await startRedis(t, { 'client-output-buffer-limit': ['pubsub', '0', '0', '0'] });
    const relay = await startRelay(t, redis, { flags });
    const publisher = await redis.client(t);
    const [slow, quick] = [await connect(t, relay, 'slow'), await websocket(t, relay, 'slow')];
    slow.wire.socket.pause();
    let count = 0;
    const publish = async () => {
      await publisher.publish(`${PREFIX}slow`, named(count));
      // Delivery to one never waits for the other (W-7.4).
      assert.equal(parseInt(await quick.text(), 10), count);
      count += 1;
    };
    return { relay, slow, publish, count: () => count };
  }

  /** The numbers that come to a client, until `count` have come. */
  async function rest(slow, count) {
    const got = [];
    while (got.length < count) got.push(parseInt(slow.block ? (await slow.block()).slice('data:'.length) : await slow.text(), 10));
    return got;
  }

  for (const [kind, connect] of [['WebSocket', websocket], ['server-sent events', stream]]) {
    for (const queue of ['1', '5']) {
      test(`W-7.1 W-7.2 W-7.5 -queue ${queue} -slow drop, by ${kind}: the new ones go`, async (t) => {
        const { relay, slow, publish, count } = await stuck(t, connect, ['-queue', queue, '-slow', 'drop']);
        while ((await relay.vars()).dropped < 20) await publish();
        const { dropped } = await relay.vars();
        slow.wire.socket.resume();
        const got = await rest(slow, count() - dropped);
        // Once it could not keep up, what was waiting stayed, and all that came later went.
        assert.deepEqual(got, Array.from({ length: count() - dropped }, (_, at) => at));
        await publish();
        assert.deepEqual(await rest(slow, 1), [count() - 1]);
        assert.deepEqual([(await relay.vars()).closed_slow, (await relay.vars()).dropped], [0, dropped]);
      });

      test(`W-7.2 -queue ${queue} -slow drop-oldest, by ${kind}: the old ones go`, async (t) => {
        const { relay, slow, publish, count } = await stuck(t, connect, ['-queue', queue, '-slow', 'drop-oldest']);
        while ((await relay.vars()).dropped < 20) await publish();
        const { dropped } = await relay.vars();
        slow.wire.socket.resume();
        const got = await rest(slow, count() - dropped);
        // One gap, before the newest ones that wait; nothing in another order.
        const gaps = got.filter((one, at) => at > 0 && one !== got[at - 1] + 1);
        assert.equal(gaps.length, 1, JSON.stringify(got));
        assert.deepEqual([got[0], got.at(-1)], [0, count() - 1]);
        assert.ok(got.indexOf(gaps[0]) >= got.length - Number(queue) - 1, JSON.stringify(got));
        await publish();
        assert.deepEqual(await rest(slow, 1), [count() - 1]);
        assert.equal((await relay.vars()).closed_slow, 0);
      });
    }

    test(`W-7.2 W-10.4 by default it is closed, by ${kind}, and told so`, async (t) => {
      const { relay, slow, publish, count } = await stuck(t, connect, []);
      while ((await relay.vars()).closed_slow === 0) await publish();
      slow.wire.socket.resume();
      // Without a hole up to there.
      const got = [];
      if (kind === 'WebSocket') {
        for (;;) {
          const { head, payload } = await slow.frame();
          if (head.startsWith('88')) {
            assert.deepEqual([payload.readUInt16BE(0), payload.subarray(2).toString()], [1008, 'slow consumer']);
            break;
          }
          got.push(parseInt(payload.toString(), 10));
        }
      } else {
        for (let block = await slow.block(); block !== null; block = await slow.block()) got.push(parseInt(block.slice('data:'.length), 10));
      }
      assert.deepEqual(got, got.map((_, at) => at));
      assert.ok(got.length < count());
      const { closed_slow: closed, dropped } = await relay.vars();
      assert.deepEqual([closed, dropped], [1, 0]);
      // It can come back.
      const again = await connect(t, relay, 'slow');
      await publish();
      assert.deepEqual(await rest(again, 1), [count() - 1]);
    });
  }

  test('W-7.2 a queue holds a burst', async (t) => {
    const redis = await startRedis(t);
    const relay = await startRelay(t, redis);
    const publisher = await redis.client(t);
    const all = [await websocket(t, relay, 'burst'), await stream(t, relay, 'burst')];
    for (const one of all) one.wire.socket.pause();
    // All in one piece, as a script or a transaction does it.
    for (let round = 0; round < 4; round += 1) publisher.command('EVAL', `for at = ${round * 250 + 10}, ${round * 250 + 259} do redis.call('PUBLISH', '${PREFIX}burst', at) end`, '0');
    await relay.vary(({ messages_seen: seen }) => seen === 1000);
    for (const one of all) {
      one.wire.socket.resume();
      assert.deepEqual(await numbers(one, 1009), Array.from({ length: 1000 }, (_, at) => at + 10));
    }
    const { dropped, closed_slow: closed } = await relay.vars();
    assert.deepEqual({ dropped, closed }, { dropped: 0, closed: 0 });
  });
});
