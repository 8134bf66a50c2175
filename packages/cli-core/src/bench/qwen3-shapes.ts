import type { TensorRole, TensorShape } from "./random-model.js";

/** Sizes of a Qwen3 decoder, under the names of config.json. */
export interface Qwen3Sizes {
  readonly hidden_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number;
  readonly head_dim: number;
  readonly intermediate_size: number;
}

/** The layers and the final norm of a Qwen3 decoder whose names begin with `prefix`. */
export function qwen3LayerShapes(prefix: string, sizes: Qwen3Sizes): TensorShape[] {
  const { hidden_size: hidden, intermediate_size: ffn, head_dim: headDim } = sizes;
  const queries = sizes.num_attention_heads * headDim;
  const keys = sizes.num_key_value_heads * headDim;
  const norm = (name: string, dim: number): TensorShape => ({ name, role: "norm", shape: [dim] });
  const linear = (name: string, out: number, inputs: number, role: TensorRole = "linear"): TensorShape => ({
    name,
    role,
    shape: [out, inputs],
  });
  const list: TensorShape[] = [];
  for (let i = 0; i < sizes.num_hidden_layers; i++) {
    const layer = `${prefix}layers.${i}.`;
    list.push(
      norm(`${layer}input_layernorm.weight`, hidden),
      linear(`${layer}self_attn.q_proj.weight`, queries, hidden),
      linear(`${layer}self_attn.k_proj.weight`, keys, hidden),
      linear(`${layer}self_attn.v_proj.weight`, keys, hidden),
      linear(`${layer}self_attn.o_proj.weight`, hidden, queries, "attention-output"),
      norm(`${layer}self_attn.q_norm.weight`, headDim),
      norm(`${layer}self_attn.k_norm.weight`, headDim),
      norm(`${layer}post_attention_layernorm.weight`, hidden),
      linear(`${layer}mlp.gate_proj.weight`, ffn, hidden),
      linear(`${layer}mlp.up_proj.weight`, ffn, hidden),
      linear(`${layer}mlp.down_proj.weight`, hidden, ffn, "mlp-output"),
    );
  }
  list.push({ name: `${prefix}norm.weight`, role: "final-norm", shape: [hidden] });
  return list;
}
