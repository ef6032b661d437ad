import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type TestDatabase, databases, testDatabase } from '../../../test/helpers/database.ts'
import { search } from '../src/search/search.ts'
import { heard, storeDocument } from './corpus-by-hand.ts'

const filler = Array.from({ length: 60 }, (_, at) => `filler${at}`).join(' ')
const texts = {
  zh: '今天天气很好，我们去北京大学图书馆看书。',
  ja: '東京の図書館でガラスの本を読みました。',
  th: 'วันนี้อากาศดีมาก เราไปห้องสมุด',
  ko: '도서관에서 책을 읽었습니다',
  de: `Die schöne Straße führt über die Brücke nach Düsseldorf. ${filler}`,
  fr: `L'élève étudie à l'école. ${filler}`,
  pl: `Łódź leży w Polsce. ${filler}`,
  ru: `МОСКВА весной. ${filler}`,
}
const queries: [keyof typeof texts, string][] = [
  ['zh', '天气'],
  ['zh', '北京大学'],
  ['zh', '书'],
  ['ja', '図書館'],
  ['ja', 'ガラス'.normalize('NFD')],
  ['ja', 'ｶﾞﾗｽ'],
  ['th', 'ห้องสมุด'],
  ['ko', '도서관'],
  ['ko', '도서관'.normalize('NFD')],
  ['de', 'Brücke'.normalize('NFD')],
  ['de', 'Brucke'],
  ['de', 'strasse'],
  ['de', 'STRASSE'],
  ['fr', 'eleve'],
  ['pl', 'lodz'],
  ['ru', 'москва'],
]

describe.each(databases)('words in other scripts and spellings (%s)', (kind) => {
  let own: TestDatabase
  beforeAll(async () => {
    own = await testDatabase(kind)
    for (const [title, text] of Object.entries(texts))
      await storeDocument(own.db, title, [heard(0, text)])
  })
  afterAll(async () => {
    await own[Symbol.asyncDispose]()
  })

  test.each(queries)('%s: %s is found first', async (title, query) => {
    const [first] = await search(own.db.pool, { query, limit: 10 })
    expect(first?.title).toBe(title)
  })

  test('letters that never stand together are not found as a word', async () => {
    expect(await search(own.db.pool, { query: '气京', limit: 10 })).toEqual([])
  })
})
