import Pusher from './index.js';

export default Pusher;
export { Pusher };
