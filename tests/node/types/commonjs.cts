// What a program that is no ES module writes.
import Pusher = require('tidings-client');
import { Pusher as Named, default as Default } from 'tidings-client';

const classes: (typeof Pusher)[] = [Pusher, Named, Default];
const options: Pusher.Options = { host: 'localhost', wsPort: 6001 };
const pusher: Pusher = new Named('key', options);
console.log(classes.length, pusher.key);
