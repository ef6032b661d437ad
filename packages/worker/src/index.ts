export { handle, type HandledKind, type KindContext } from './handle.ts'
export { runWorker, type RunWorkerOptions } from './run-worker.ts'
export { createWorker, type WorkerOptions } from './worker.ts'
export { EarshotError } from '@earshot/contract'
