/** Mistakes in what queries may see, and in the oracle. @module */
import { inside, type Mutant } from "./mutant.ts"

/** Those of masks, windows and dense attention. */
export const masking: ReadonlyArray<Mutant> = [
  ...inside("lib/attention/Mask.ts", [
    ["position - window.last + 1,", "position - window.last,", "window off by one"],
    [
      "causal ? position : contextLen - 1",
      "causal ? position - 1 : contextLen - 1",
      "a query does not see itself",
    ],
    ["chunkStart + chunk - 1,", "chunkStart + chunk,", "a chunk ends one too late"],
    ["- chunkOffset % chunk + chunk) % chunk", "+ chunk) % chunk", "the offset of chunks dropped"],
    ["starts?.[row] ?? 0,\n    window", "0,\n    window", "left padding is seen"],
    ["run?.first ?? 0,", "0,", "a segment sees those before it"],
    ["run?.last ?? contextLen - 1,", "contextLen - 1,", "a segment sees those after it"],
    [
      "while (first > 0 && ids[first - 1] === id) first--",
      "while (first > 1 && ids[first - 1] === id) first--",
      "the first position of a segment",
    ],
    ["said === -1 ? nothing", "said === -2 ? nothing", "padding queries see position 0"],
    [
      "contextLen - queryLen + i\n",
      "contextLen - queryLen + i - 1\n",
      "queries stand one position early",
    ],
    ["first <= last ? { first, last } : nothing", "{ first, last }", "an empty run wraps around"],
    ["Math.max(first, Window.lowest(window, position))", "contextLen", "no position is needed"],
    ["causal && positions === undefined\n", "causal\n", "the kernel's window at given positions"],
    [
      "const left = kernelsWindow(mask) ? window : Window.all",
      "const left = Window.all",
      "the window is dropped",
    ],
    ["if (seen.has(id)) return", "if (false) return", "segments that do not lie together"],
  ]),
  ...inside("lib/attention/Window.ts", [
    ["last(before + 1)", "last(before)", "self counts among the tokens before it"],
    [
      "position - window.last + 1)",
      "position - window.last)",
      "one position more than the window needs",
    ],
    ["window.sinks > 0 ? 0", "window.sinks > 1 ? 0", "one sink needs nothing"],
    ["sinks: options?.sinks ?? 0", "sinks: 0", "sinks dropped"],
  ], ["property-tests/laws/refusals.test.ts", "property-tests/views"]),
  ...inside("lib/attention/dense.ts", [
    ["j > position - window.last ||", "j >= position - window.last ||", "window off by one"],
    ["h / (numQHeads / keyHeads)", "h % keyHeads", "the wrong key head of a group"],
    ["h / (numQHeads / valueHeads)", "h % valueHeads", "the wrong value head of a group"],
    ["const s = dot * scale", "const s = dot", "scale dropped"],
    ["softCap === undefined ? s : softCap * Math.tanh(s / softCap)", "s", "soft cap dropped"],
    ["j < window.sinks)", "j <= window.sinks)", "one sink too many"],
    ["j <= position) &&", "j < position) &&", "a query does not see itself"],
    [
      "lse[row] = max + Math.log(sum)",
      "lse[row] = Math.log(sum)",
      "the log-sum-exp forgets the largest",
    ],
  ]),
]
