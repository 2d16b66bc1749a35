import Pusher = require('./index.js');

export default Pusher;
export { Pusher };
