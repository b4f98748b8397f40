import type { Mutant } from './mutant.ts'

export const LOG_MUTANTS: readonly Mutant[] = [
  {
    name: '"seen" stands for "done" in the committed position',
    file: 'packages/broker/src/offset-ledger.ts',
    find: '  get watermark(): number {\n    return this.#watermark\n',
    replace: '  get watermark(): number {\n    return this.#next\n',
    caughtBy: ['C-1'],
    seedsMax: 10,
  },
  {
    name: 'a member that was thrown out keeps its partitions',
    file: 'packages/broker/src/kafka/membership.ts',
    find: "    this.#memberId = ''\n    this.#epoch = null\n    this.#holder.lostAll(why)\n",
    replace: "    this.#memberId = ''\n    this.#epoch = null\n    void why\n",
    caughtBy: ['C-3', 'C-4', 'C-1', 'O-1', 'O-2', 'O-3', 'D-2', 'L-1'],
    seedsMax: 300,
  },
]
