// What is in flight, as a set whose members know their place. For lists with thousands of changes a second: a
// Set renews its table all the time, V8 chains the tables, and one of them that had grown old kept all later members
// alive until the next full collection, which took a fifth of all processor time.

/** A member of at most one roster. */
export interface Rostered {
  /** Where it is in its roster, which alone sets it; -1: nowhere. */
  place: number;
}

export class Roster<Member extends Rostered> {
  readonly #members: Member[] = [];

  get size(): number {
    return this.#members.length;
  }

  /** All members, in no order. They may leave while they are walked through: then some may be missed. */
  get members(): readonly Member[] {
    return this.#members;
  }

  has(member: Member): boolean {
    return this.#members[member.place] === member;
  }

  /** Harmless when it is in it. */
  add(member: Member): void {
    if (this.has(member)) return;
    member.place = this.#members.length;
    this.#members.push(member);
  }

  /** Harmless when it is not in it. */
  remove(member: Member): void {
    if (!this.has(member)) return;
    const last = this.#members.pop() as Member;
    if (last !== member) {
      this.#members[member.place] = last;
      last.place = member.place;
    }
    member.place = -1;
  }
}
