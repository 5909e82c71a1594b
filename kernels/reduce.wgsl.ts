/** One number of what the lanes of a workgroup have. @module */

/** Text of `sum_of` and `most_of`; the workgroup has WG lanes. */
export const reduce: string = /* wgsl */ `
var<workgroup> shares: array<f32, WG>;

fn sum_of(lane: u32, own: f32) -> f32 {
  shares[lane] = own;
  workgroupBarrier();
  var sum = 0.0;
  for (var i = 0u; i < WG; i++) { sum += shares[i]; }
  workgroupBarrier();
  return sum;
}

fn most_of(lane: u32, own: f32) -> f32 {
  shares[lane] = own;
  workgroupBarrier();
  var most = own;
  for (var i = 0u; i < WG; i++) { most = max(most, shares[i]); }
  workgroupBarrier();
  return most;
}
`
