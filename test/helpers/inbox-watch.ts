import type { DocumentView, JobView } from '@earshot/contract'
import type { Client } from '@earshot/sdk'
import { expect } from 'vitest'

export type InboxWatch = {
  /** The documents of this title, newest first. */
  named(title: string): Promise<DocumentView[]>
  /**
   * Waits until the newest document of this title has one of these states; answers it and its job.
   */
  until(
    title: string,
    states?: readonly DocumentView['status'][],
    seconds?: number,
  ): Promise<{ document: DocumentView; job: JobView }>
}

/** Follows dropped files to their end, by their title. */
export function createInboxWatch(client: Client): InboxWatch {
  const named = async (title: string) =>
    (await client.documents({ limit: 1000 })).filter((document) => document.title === title)
  return {
    named,
    async until(title, states = ['ready', 'failed'], seconds = 50) {
      const options = {
        timeout: seconds * 1000,
        interval: 150,
        message: `${title} is ${states.join(' or ')}`,
      }
      await expect
        .poll(async () => (await named(title))[0]?.status ?? 'not taken in', options)
        .toSatisfy((status) => states.includes(status))
      const [document] = await named(title)
      return { document: document!, job: await client.get(document!.job_id!) }
    },
  }
}
