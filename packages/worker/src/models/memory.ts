import { findHardware } from '@earshot/shared/platform'

/** A model needs its own size, and some to work with. */
const MORE = 1.2
const WORK_BYTES = 200e6

/** Bytes that a model may take here now: free memory, and the free memory of GPUs. */
export async function freeMemory(): Promise<number> {
  const { gpus } = await findHardware()
  return (
    process.availableMemory() + gpus.reduce((sum, { freeMb }) => sum + (freeMb ?? 0) * 2 ** 20, 0)
  )
}

/**
 * Why a model does not fit into this machine, in a sentence; undefined when it does.
 *
 * @example
 * tooBig('llama3:70b', 40e9, 21e9) // 'It needs about 48 GB of memory; 21 GB are free.'
 */
export function tooBig(size: number | null, free: number): string | undefined {
  const needed = (size ?? 0) * MORE + WORK_BYTES
  const gb = (bytes: number) => `${(bytes / 1e9).toFixed(bytes < 10e9 ? 1 : 0)} GB`
  return size !== null && needed > free
    ? `It needs about ${gb(needed)} of memory; ${gb(free)} are free.`
    : undefined
}
