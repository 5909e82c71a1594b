/**
 * Mistakes in kernels, in twins and in shaders.
 *
 * @module
 */
import { attending } from "./kernels_attention.ts"
import { reading } from "./kernels_forms.ts"
import { moving } from "./kernels_moves.ts"
import { storing } from "./kernels_pools.ts"
import { multiplying } from "./kernels_products.ts"
import { reducing } from "./kernels_rows.ts"
import { sharing } from "./kernels_shared.ts"
import type { Mutant } from "./mutant.ts"

const mutants: ReadonlyArray<Mutant> = [
  ...storing,
  ...attending,
  ...reducing,
  ...moving,
  ...multiplying,
  ...reading,
  ...sharing,
]

export default mutants
