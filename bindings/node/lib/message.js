// Messages as pusher-client hands them out: `data` that is JSON in a string is read once, other text stays as it is (P-20.10).
'use strict';

/** Reads the data of a message that is JSON already. */
function readData(message) {
  if (message !== null && typeof message === 'object' && typeof message.data === 'string') {
    try {
      message.data = JSON.parse(message.data);
    } catch {
      // Text is data too.
    }
  }
  return message;
}

/** What is thrown at messages that are no JSON object. */
function unreadable(text, error) {
  return { type: 'MessageParseError', error, data: text };
}

/**
 * Reads the text of a message.
 *
 * @throws what `unreadable` makes, unless it is a JSON object.
 */
function decode(text) {
  let message;
  try {
    message = JSON.parse(text);
  } catch (error) {
    throw unreadable(text, error);
  }
  if (message === null || typeof message !== 'object') throw unreadable(text, new TypeError('the message is no object'));
  return readData(message);
}

/** The text of a message to the server. */
function encode(event, data, channel) {
  return JSON.stringify({ event, data: data || {}, ...(channel && { channel }) });
}

module.exports = { decode, encode, readData };
