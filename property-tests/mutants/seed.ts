/** Loaded before tests that a mutant is tried with: properties that name no seed try the same cases each time, too. @module */
import fc from "fast-check"
import process from "node:process"

const { FC_SEED } = process.env
if (FC_SEED !== undefined) {
  fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: Number(FC_SEED) })
}
