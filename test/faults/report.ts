import os from 'node:os'
import type { ChaosReport, Heal } from './run.ts'

/** The report as Markdown, for people and for docs/chaos-report.md. */
export function reportOf(run: ChaosReport): string {
  const sorts = [...new Set(run.heals.map(({ sort }) => sort))].sort()
  const rows = [
    ...sorts.map((sort) =>
      row(
        sort,
        run.heals.filter((heal) => heal.sort === sort),
      ),
    ),
    row('**all**', run.heals),
  ]
  return `# What faults did to the mesh

\`\`\`text
pnpm chaos --minutes ${Math.round(run.minutes)} --seed ${run.seed}${run.only.map((text) => ` --only ${text}`).join('')}
\`\`\`

${run.coordinators} coordinators and ${run.workers} workers, processes of their own on a private PostgreSQL${run.pooler ? ';\nsome of them through PgBouncer in transaction mode' : ''}. A lease takes ${run.leaseS} s.
${machine()}.

| | |
|---|---|
| faults | ${run.heals.filter(({ sort }) => !sort.endsWith(', then over')).length} in ${run.minutes} minutes |
| jobs | ${run.jobs}, assigned ${run.attempts} times |
| effects stored | ${run.effects} |
| jobs held by a node that died | ${run.deaths} |
| submissions and cancellations repeated, because their answer was lost | ${run.repeated} |
| longest wait while a node that could run the job idled | ${run.longestWaitS.toFixed(1)} s |
| **broken promises** | **${run.broken.length}** |

## Time to heal

The mesh has healed when a coordinator leads, no dead node holds a job, every expected node is online,
and a job submitted after the fault is done. "then over" means that a lasting fault ended and every
process is back. A worker that vanishes is noticed when its lease ends.

| fault | times | p50 | p99 | longest |
|---|---|---|---|---|
${rows.join('\n')}

## Broken promises

Checked: every job ends exactly once, in the right state. No effect is missing, doubled or of an
assignment that was over. No job and no node is charged for another's fault. Every fault heals. No job
waits longer than 2 s while a node that could run it idles (after a fault: the lease and 2 s).

${
  run.broken.length === 0
    ? 'None.'
    : run.broken
        .slice(0, 100)
        .map((sentence) => `- ${sentence}`)
        .join('\n')
}
`
}

function row(sort: string, heals: Heal[]): string {
  const ms = heals.map((heal) => heal.ms).sort((a, b) => a - b)
  const at = (share: number) =>
    ((ms[Math.min(ms.length - 1, Math.floor(ms.length * share))] ?? 0) / 1000).toFixed(1)
  return `| ${sort} | ${ms.length} | ${at(0.5)} s | ${at(0.99)} s | ${at(1)} s |`
}

function machine(): string {
  return `${new Date().toISOString().slice(0, 10)}, ${os.availableParallelism()} cores (${os.cpus()[0]?.model ?? 'unknown'}), Node ${process.versions.node}`
}
