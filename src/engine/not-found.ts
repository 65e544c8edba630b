// Tells a 404 that is about one line (it names something that does not exist) from a model or an
// endpoint that is gone, which is a condition of the lane. Nothing in the answer does that reliably;
// what happens to other lines does.

import type { Lane } from "../lanes/lane.ts";

export class NotFoundAnswers {
  readonly #endpoint: string;
  /** Lines answered 404: position → how much else the lane had been answered by then. */
  readonly #seen = new Map<number, number>();

  constructor(endpoint: string) {
    this.#endpoint = endpoint;
  }

  /**
   * Whose fault the line's 404 is: the line's, when others were answered after its last one;
   * unclear, when there were answers before and only this line asks (see `isStillServed`); else the
   * lane's, as far as can be said yet.
   */
  judge(index: number, lane: Lane): "line" | "unclear" | "lane" {
    const answered = lane.answered(this.#endpoint);
    const before = this.#seen.get(index);
    this.#seen.set(index, answered);
    if (before === undefined || answered === 0) return "lane";
    return answered > before ? "line" : "unclear";
  }

  /** Asks the upstream whether it still has the lane's model. */
  async isStillServed({ upstream, model }: Lane): Promise<boolean> {
    const found = await upstream.discover();
    return found.ok && (model === "" || found.models.includes(model));
  }
}
