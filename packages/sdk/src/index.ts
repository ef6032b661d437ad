export {
  createClient,
  type Client,
  type ClientSettings,
  type EnqueuedJob,
  type JobRequest,
  type Artifact,
} from './client.ts'
export type { EventOptions } from './events.ts'
export type { WaitOptions } from './wait.ts'
export type { MediaOptions } from './media.ts'
export { defineKind, EarshotError, isFinal, z } from '@earshot/contract'
export type * from '@earshot/contract'
