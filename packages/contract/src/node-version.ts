// Imported first: what follows needs a Node that has Promise.withResolvers and runs TypeScript.
const version = (globalThis as { process?: { versions?: { node?: string } } }).process?.versions
  ?.node

const [major = 0, minor = 0] = (version ?? '').split('.').map(Number)
if (version !== undefined && (major < 22 || (major === 22 && minor < 18)))
  throw new Error(`Earshot needs Node 22.18 or newer; this is Node ${version}.`)
