/** interactive: someone waits for it; it goes before batch work, whatever the priorities. */
export const JOB_CLASSES = ['interactive', 'batch'] as const
export type JobClass = (typeof JOB_CLASSES)[number]
