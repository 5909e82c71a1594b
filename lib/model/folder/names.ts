/** What a tensor of a folder is called here: by the names of GGUF. @module */

const outer: ReadonlyMap<string, string> = new Map([
  ["model.embed_tokens.weight", "token_embd.weight"],
  ["model.norm.weight", "output_norm.weight"],
  ["lm_head.weight", "output.weight"],
])

const parts: ReadonlyMap<string, string> = new Map([
  ["input_layernorm", "attn_norm"],
  ["self_attn.q_proj", "attn_q"],
  ["self_attn.k_proj", "attn_k"],
  ["self_attn.v_proj", "attn_v"],
  ["self_attn.o_proj", "attn_output"],
  ["post_attention_layernorm", "ffn_norm"],
  ["mlp.gate_proj", "ffn_gate"],
  ["mlp.up_proj", "ffn_up"],
  ["mlp.down_proj", "ffn_down"],
])

/** The canonical name; one that is in no table stays as it is. */
export const canonical = (name: string): string => {
  const [, layer, part = "", kind] = /^model\.layers\.(\d+)\.(.+)\.(weight|bias)$/.exec(name) ?? []
  const known = parts.get(part)
  return outer.get(name) ?? (known === undefined ? name : `blk.${layer}.${known}.${kind}`)
}

/** The name in the folder of a canonical one. */
export const called = (name: string): string => {
  const [, layer, part, kind] = /^blk\.(\d+)\.(\w+)\.(weight|bias)$/.exec(name) ?? []
  const inLayer = [...parts].find(([, known]) => known === part)
  if (inLayer !== undefined) return `model.layers.${layer}.${inLayer[0]}.${kind}`
  return [...outer].find(([, known]) => known === name)?.[0] ?? name
}

/** Whether a tensor is a table that the model computes itself: old writers stored RoPE's frequencies. */
export const isDerived = (name: string): boolean =>
  /^model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq$/.test(name)
