/** The best of what the lanes of a workgroup found. @module */

/** Text of `better` and `best_of`; the workgroup has WG lanes. */
export const best: string = /* wgsl */ `
struct Best { value: f32, id: u32 }
const NONE = Best(0.0, 0xffffffffu);
var<workgroup> found: array<Best, WG>;

// The larger value, of equal ones the lower id; NONE is worse than any.
fn better(a: Best, b: Best) -> Best {
  if (a.id == NONE.id) { return b; }
  if (b.id == NONE.id || a.value > b.value) { return a; }
  if (a.value == b.value && a.id < b.id) { return a; }
  return b;
}

fn best_of(lane: u32, own: Best) -> Best {
  found[lane] = own;
  workgroupBarrier();
  var best = NONE;
  for (var i = 0u; i < WG; i++) { best = better(best, found[i]); }
  workgroupBarrier();
  return best;
}
`
