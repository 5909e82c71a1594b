/** Faults of a device: shaders that do not compile, and a device that is lost. @module */
import assert from "node:assert/strict"
import { test } from "node:test"
import { Context, Effect, Exit, Layer, Scope } from "effect"
import {
  Arena,
  Gpu,
  GpuUnavailable,
  Kernel,
  KvCache,
  Layout,
  Lease,
  Llama,
  Program,
  Recording,
  Tensor,
} from "../../mod.ts"
import { absent, adapters } from "../adapters.ts"
import { everywhere, timeout } from "./everywhere.ts"

const broken = Kernel.make(
  {
    name: "broken",
    bindings: { x: "read f32[n]", out: "write f32[n]" },
    overrides: {},
    params: { n: "u32" },
  },
  {
    source: `
struct Params { n: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;
@compute @workgroup_size(1) fn main() { out[0] = x[0] + nothing; }`,
    grid: () => [1, 1, 1],
    twin: () => {},
  },
)

everywhere(
  "Program.run() of a shader that does not compile is a GpuFault that names the kernel",
  (device) =>
    Effect.scoped(Effect.gen(function* () {
      if (device === "cpu") return // its twin is what runs there
      const x = yield* Gpu.upload("f32", "n", { n: 1 }, Float32Array.of(1))
      const args = { reads: { x }, writes: { out: x }, params: {}, overrides: {} }
      const fault = yield* Effect.flip(Program.run(Recording.launch(broken, args)))
      assert.equal(fault._tag, "GpuFault")
      assert.match(fault.message, /^Cannot run broken on the device \(validation\): /)
      // The device goes on.
      assert.equal((yield* Gpu.read(yield* Program.run(Tensor.add(x, x))))[0], 2)
    })),
)

for (const { name, layer } of adapters.filter(({ name }) => name !== "cpu")) {
  test(
    `a device that is lost fails with GpuLost, and Llama.rebuild() restores its caches [${name}]`,
    {
      timeout,
    },
    async () => {
      const tokens = [0, 42, 79, 260, 1828, 1271, 270, 260]
      const open = Effect.gen(function* () {
        const llama = yield* Llama.load()
        const layout = yield* Effect.fromResult(Llama.layout(llama))
        const arena = yield* Arena.make(layout, 4)
        return { llama, arena, lease: yield* Lease.make(arena) }
      })
      const keysOf = (cache: KvCache.KvCache) =>
        Effect.flatMap(Program.run(KvCache.gather(cache)), ({ keys }) => Gpu.read(keys))
      await Effect.runPromise(Effect.scoped(Effect.gen(function* () {
        const first = yield* Scope.make()
        const gpu = Context.get(yield* Layer.buildWithScope(layer, first), Gpu.Service)
        const on = Effect.provideService(Gpu.Service, gpu)
        const { llama, arena, lease } = yield* on(open)
        const under = Lease.under(lease)
        const cache = yield* on(under(Llama.rebuild(llama, arena, tokens)))
        const before = yield* on(under(keysOf(cache)))
        yield* Scope.close(first, Exit.void) // destroys the device
        const lost = yield* Effect.flip(on(under(keysOf(cache))))
        assert.equal(lost._tag, "GpuLost")
        assert.match(lost.message, /^Cannot go on with the device as it was lost \(destroyed\): /)
        assert.match(lost.message, /open a new one and rebuild its caches$/)
        const after = yield* Effect.provide(
          Effect.scoped(Effect.gen(function* () {
            const next = yield* open
            const again = Llama.rebuild(next.llama, next.arena, tokens)
            return yield* Lease.under(next.lease)(Effect.flatMap(again, keysOf))
          })),
          layer,
        )
        assert.deepEqual(after, before)
      })))
    },
  )
}

test("Gpu.layerDawn and Gpu.layerWebGpu say why a device cannot be opened, and what to do", async () => {
  for (const { name, reason } of absent) {
    if (!reason.startsWith("Cannot open")) continue // it was not tried here
    assert.match(reason, new RegExp(`^Cannot open the ${name} device: .+; .*use --device .*cpu`))
  }
  const unavailable = new GpuUnavailable({ device: "webgpu", reason: "gone", remedy: "look" })
  assert.equal(unavailable.message, "Cannot open the webgpu device: gone; look")
  const { considered, device } = await Effect.runPromise(Gpu.choose())
  assert.equal(considered.filter(({ taken }) => taken).length, 1)
  assert.equal(considered.find(({ taken }) => taken)?.device, device)
})

test("Llama.step() over a cache made for another model fails with LayoutMismatch", () =>
  Effect.runPromise(
    Effect.scoped(Effect.gen(function* () {
      const llama = yield* Llama.load()
      const layout = yield* Effect.fromResult(
        Layout.make({ layers: 6, keyHeads: 2, keyDim: 16, blockSize: 16 }),
      )
      const cache = KvCache.empty(yield* Arena.make(layout, 2))
      const step = Llama.step(llama, [cache], [[1]], ({ last }) => last)
      const error = yield* Effect.flip(Lease.scoped(cache.arena)(Program.run(step)))
      assert.equal(error._tag, "LayoutMismatch")
      assert.equal(error.message, "Cannot use a cache whose keyDim is 16: 32 is needed")
    })).pipe(Effect.provide(Gpu.layerCpu())),
  ))
