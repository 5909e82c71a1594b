/** What a tensor of a folder is called here: by the names of GGUF. @module */
import type { Family } from "../families.ts"

const outer: ReadonlyMap<string, string> = new Map([
  ["model.embed_tokens.weight", "token_embd.weight"],
  ["model.norm.weight", "output_norm.weight"],
  ["lm_head.weight", "output.weight"],
])

/** Parts of a layer that every family calls so. */
const parts: ReadonlyArray<readonly [name: string, known: string]> = [
  ["input_layernorm", "attn_norm"],
  ["self_attn.q_proj", "attn_q"],
  ["self_attn.k_proj", "attn_k"],
  ["self_attn.v_proj", "attn_v"],
  ["self_attn.o_proj", "attn_output"],
  ["mlp.gate_proj", "ffn_gate"],
  ["mlp.up_proj", "ffn_up"],
  ["mlp.down_proj", "ffn_down"],
]

const partsOf = ({ folder }: Family) => [...parts, ...Object.entries(folder.names)]

/** Gives canonical names; a name that is in no table stays as it is. */
export const canonicalIn = (family: Family): (name: string) => string => {
  const known = new Map(partsOf(family))
  return (name) => {
    const [, layer, part, kind] = /^model\.layers\.(\d+)\.(.+)\.(weight|bias)$/.exec(name) ?? []
    const here = part === undefined ? undefined : known.get(part)
    return outer.get(name) ?? (here === undefined ? name : `blk.${layer}.${here}.${kind}`)
  }
}

/** Gives the name in the folder of a canonical one. */
export const calledIn = (family: Family): (name: string) => string => {
  const there = new Map(partsOf(family).map(([name, known]) => [known, name]))
  return (name) => {
    const [, layer, part, kind] = /^blk\.(\d+)\.(\w+)\.(weight|bias)$/.exec(name) ?? []
    const inLayer = part === undefined ? undefined : there.get(part)
    if (inLayer !== undefined) return `model.layers.${layer}.${inLayer}.${kind}`
    return [...outer].find(([, known]) => known === name)?.[0] ?? name
  }
}

/** Whether a canonical name is that of a norm's weights. */
export const isNorm = (name: string): boolean => name.endsWith("norm.weight")

/** Whether a tensor is a table that the model computes itself: old writers stored RoPE's frequencies. */
export const isDerived = (name: string): boolean =>
  /^model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq$/.test(name)
