'use strict';

const Pusher = require('./lib/pusher');

module.exports = Pusher;
module.exports.Pusher = Pusher;
module.exports.default = Pusher;
