// Who is in a presence channel.
'use strict';

class Members {
  constructor() {
    this.reset();
  }

  /** The member with this id, as `{id, info}`. */
  get(id) {
    return Object.hasOwn(this.members, id) ? { id, info: this.members[id] } : undefined;
  }

  /** Calls back with each member, in no particular order. */
  each(callback) {
    for (const id of Object.keys(this.members)) callback(this.get(id));
  }

  setMyID(id) {
    this.myID = id;
  }

  onSubscription(data) {
    const { hash, count } = data?.presence ?? {};
    this.members = { ...hash };
    this.count = count ?? Object.keys(this.members).length;
    this.me = this.get(this.myID);
  }

  addMember({ user_id, user_info }) {
    if (!this.get(user_id)) this.count++;
    // A member may have any id, even that of the prototype.
    Object.defineProperty(this.members, user_id, { value: user_info, configurable: true, enumerable: true, writable: true });
    return this.get(user_id);
  }

  removeMember({ user_id }) {
    const member = this.get(user_id);
    if (member) {
      delete this.members[user_id];
      this.count--;
    }
    return member;
  }

  reset() {
    this.members = {};
    this.count = 0;
    this.myID = null;
    this.me = null;
  }
}

module.exports = Members;
