import fc from "fast-check";
import { expect, test } from "vitest";
import { Roster, type Rostered } from "./roster.ts";

class Member implements Rostered {
  place = -1;
}

test("behaves as a set does, whatever comes and goes", () => {
  const step = fc.record({ adds: fc.boolean(), who: fc.nat(9) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      const all = Array.from({ length: 10 }, () => new Member());
      const roster = new Roster<Member>();
      const set = new Set<Member>();
      for (const { adds, who } of steps) {
        const member = all[who] as Member;
        if (adds) {
          roster.add(member);
          set.add(member);
        } else {
          roster.remove(member);
          set.delete(member);
        }
        expect(roster.size).toBe(set.size);
        expect(new Set(roster.members)).toEqual(set);
        for (const one of all) expect(roster.has(one)).toBe(set.has(one));
      }
    }),
  );
});
