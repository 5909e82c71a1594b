/**
 * The device: a service that owns memory and runs launches, and the layers that provide it.
 *
 * @module
 */
export { type Gpu, type GpuShape, type Live, live, Service } from "./service.ts"
export { allocate, read, upload, uploadAll } from "./transfer.ts"
export { uploadMatrix } from "./loader.ts"
export { layer as layerCpu, type Options as CpuOptions } from "./cpu.ts"
export { layer as layerWebGpu } from "./webgpu.ts"
export { layer as layerDawn } from "./dawn.ts"
export { type Choice, choose, type Considered, layer as layerAuto } from "./auto.ts"
