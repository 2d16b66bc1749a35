// Finds the native part: the file that `npm run build` leaves beside the package, or the library that TIDINGS_NODE_ADDON names.
'use strict';

const path = require('node:path');

const BUILT = path.join(__dirname, '..', 'tidings-client.node');

let loaded;

/** The class that does everything up to decoded messages. It is loaded when the first client is made. */
function nativeClient() {
  if (loaded === undefined) {
    const file = process.env.TIDINGS_NODE_ADDON || BUILT;
    const addon = { exports: {} };
    try {
      // As `require` does it, but whatever the file is called.
      process.dlopen(addon, path.resolve(file));
    } catch (cause) {
      throw new Error(`cannot load the native part of tidings-client from ${file}: run \`npm run build\` in the package's folder`, { cause });
    }
    loaded = addon.exports.NativeClient;
  }
  return loaded;
}

/** Puts another class in its place, for tests. */
function replaceNativeClient(other) {
  loaded = other;
}

module.exports = { nativeClient, replaceNativeClient };
