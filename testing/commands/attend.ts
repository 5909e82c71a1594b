/** Attention over several values. @module */
import fc from "fast-check"
import { able, type Command, lease, played, some } from "../command.ts"
import type { Question } from "../player.ts"

/** Attends to values in one batch, then to each alone, then with other numbers where nobody may look. */
export const attend = (
  of: number,
  values: ReadonlyArray<number>,
  question: Question,
): Command => ({
  check: able("attend"),
  run: played((player) => player.attend(of, values, question)),
  toString: () => `attend(${of}, [${values.join(", ")}], ${JSON.stringify(question)})`,
})

const questions: fc.Arbitrary<Question> = fc.record({
  queries: fc.integer({ min: 0, max: 6 }),
  last: fc.integer({ min: 1, max: 26 }),
  sinks: fc.integer({ min: 1, max: 7 }),
  scale: fc.constantFrom(0.125, 0.75, 1),
  softCap: fc.constantFrom(3, 50),
}, { requiredKeys: ["queries"] })

/** Any of them. */
export const attends: fc.Arbitrary<Command> = fc.tuple(lease, some, questions)
  .map(([of, values, question]) => attend(of, values, question))
