/** 16-bit floats, exhaustively. @module */
import assert from "node:assert/strict"
import { test } from "node:test"
import { bf16, bf16OfBits, bitsOf, f16, f16OfBits } from "../../kernels/half.ts"
import { randomBits } from "../../kernels/noise.ts"

const all = Uint16Array.from({ length: 65_536 }, (_, i) => i)

test("f16 is the value of every bit pattern", () => {
  const view = new DataView(all.buffer)
  for (const bits of all) {
    assert.ok(Object.is(f16[bits], view.getFloat16(2 * bits, true)), `${bits}`)
  }
})

test("bf16 is the upper half of an f32", () => {
  for (const bits of all) {
    const upper = bitsOf(bf16)[bits]! >>> 16
    assert.ok(upper === bits, `${bits}`)
  }
})

test("f16OfBits and bf16OfBits give back every number", () => {
  for (const bits of all) {
    if (!Number.isNaN(f16[bits])) assert.ok(f16OfBits(bitsOf(f16)[bits]!) === bits, `f16 ${bits}`)
    if (!Number.isNaN(bf16[bits])) {
      assert.ok(bf16OfBits(bitsOf(bf16)[bits]!) === bits, `bf16 ${bits}`)
    }
  }
})

test("f16OfBits and bf16OfBits keep what is not a number", () => {
  for (const bits of [0x7f80_0001, 0x7fff_ffff, 0xff80_0001, 0xffc0_0000]) {
    assert.ok(Number.isNaN(f16[f16OfBits(bits)]))
    assert.ok(Number.isNaN(bf16[bf16OfBits(bits)]))
  }
})

test("f16OfBits rounds as the runtime does", () => {
  const view = new DataView(new ArrayBuffer(4))
  for (let i = 0; i < 400_000; i++) {
    // Half of the patterns lie where f16 is subnormal or its neighbours: there the rounding moves.
    const any = randomBits(1, 1, i)
    const bits = i % 2 === 0 ? any : (any & 0x8fff_ffff | 0x3000_0000) >>> 0
    view.setUint32(0, bits)
    const x = view.getFloat32(0)
    if (Number.isNaN(x)) continue
    view.setFloat16(0, x)
    assert.ok(f16OfBits(bits) === view.getUint16(0), `${x}`)
  }
})

test("bf16OfBits rounds to the nearer neighbour, and to the even one of two", () => {
  for (let i = 0; i < 100_000; i++) {
    const high = randomBits(2, 1, i) >>> 16, low = randomBits(2, 2, i) & 0xffff
    if ((high & 0x7fff) >= 0x7f80) continue
    const up = low > 0x8000 || low === 0x8000 && high % 2 === 1
    assert.ok(bf16OfBits((high * 65_536 + low) >>> 0) === high + (up ? 1 : 0), `${high} ${low}`)
    const tie = (high * 65_536 + 0x8000) >>> 0
    assert.ok(bf16OfBits(tie) === high + high % 2, `${high}`)
  }
})
