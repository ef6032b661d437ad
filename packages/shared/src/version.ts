import manifest from '../package.json' with { type: 'json' }

/** The version of Earshot that runs here. */
export const VERSION: string = manifest.version
