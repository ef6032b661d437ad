// The thread that reads a text file; started by paragraphs.ts.
import { parentPort, workerData } from 'node:worker_threads'
import { EarshotError } from '@earshot/contract'
import { type FromThread, splitFile } from './paragraphs.ts'

const say = (message: FromThread) => parentPort!.postMessage(message)
try {
  say({ paragraphs: await splitFile(workerData as string) })
} catch (err) {
  if (!(err instanceof EarshotError)) throw err
  const { code, message, hint } = err
  say({ refused: { code, message, hint } })
}
