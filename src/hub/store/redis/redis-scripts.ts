import { createHash } from "node:crypto";

export interface Script {
  readonly lua: string;
  readonly sha: string;
}

function script(lua: string): Script {
  return { lua, sha: createHash("sha1").update(lua).digest("hex") };
}

/**
 * Writes one outcome, if the documents it was decided on are still the ones that were read. A document is
 * `<token>|<JSON>`; its token is new with each write. Redis does not undo what a failed script has written: so all
 * conditions come first, then what could still fail (appending), then what cannot.
 * ARGV[1] is the plan as JSON with numbers as strings (Lua's would lose digits); it names KEYS and ARGV by index.
 * Answers 1, or 0 when a document has changed.
 */
export const COMMIT = script(`
local plan = cjson.decode(ARGV[1])
for _, check in ipairs(plan.checks) do
  local head = redis.call('GETRANGE', KEYS[check[1]], 0, 63)
  local token = string.match(head, '^([^|]*)|') or ''
  if token ~= check[2] then return 0 end
end
for _, key in ipairs(plan.drops) do redis.call('DEL', KEYS[key]) end
for _, append in ipairs(plan.appends) do
  local key = KEYS[append.key]
  local sequence = append.sequence
  if sequence == '' then
    local last = '0'
    if redis.call('EXISTS', key) == 1 then
      local info = redis.call('XINFO', 'STREAM', key)
      for i = 1, #info, 2 do if info[i] == 'last-generated-id' then last = string.match(info[i + 1], '^%d+') end end
    end
    sequence = string.format('%.0f', tonumber(last) + 1)
  end
  redis.call('XADD', key, 'MAXLEN', '=', append.keep, sequence .. '-0', 't', append.at, 'b', ARGV[append.body])
end
for _, delete in ipairs(plan.deletes) do
  redis.call('DEL', KEYS[delete.key])
  redis.call('ZREM', KEYS[delete.index], delete.id)
  redis.call('ZREM', KEYS[plan.expiry], delete.member)
end
for _, put in ipairs(plan.puts) do
  redis.call('SET', KEYS[put.key], plan.token .. '|' .. ARGV[put.body])
  redis.call('ZADD', KEYS[put.index], 0, put.id)
  if put.expires == '' then redis.call('ZREM', KEYS[plan.expiry], put.member)
  else redis.call('ZADD', KEYS[plan.expiry], put.expires, put.member) end
end
for _, topic in ipairs(plan.wakes) do redis.call('PUBLISH', plan.channel, topic) end
return 1
`);

/** KEYS[1] a log; ARGV: after, limit. Answers first, last, entries. */
export const READ_LOG = script(`
if redis.call('EXISTS', KEYS[1]) == 0 then return {'', '0', {}} end
local last = '0'
local info = redis.call('XINFO', 'STREAM', KEYS[1])
for i = 1, #info, 2 do if info[i] == 'last-generated-id' then last = string.match(info[i + 1], '^%d+') end end
local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)
local first = ''
if #oldest > 0 then first = string.match(oldest[1][1], '^%d+') end
return {first, last, redis.call('XRANGE', KEYS[1], '(' .. ARGV[1] .. '-0', '+', 'COUNT', ARGV[2])}
`);

/** KEYS: the expiry index, then document and index of each candidate; ARGV: now, then member and id of each. Answers how many went. */
export const EXPIRE = script(`
local removed = 0
for i = 2, #KEYS, 2 do
  local member, id = ARGV[i], ARGV[i + 1]
  local due = redis.call('ZSCORE', KEYS[1], member)
  if due and tonumber(due) <= tonumber(ARGV[1]) then
    redis.call('DEL', KEYS[i])
    redis.call('ZREM', KEYS[i + 1], id)
    redis.call('ZREM', KEYS[1], member)
    removed = removed + 1
  end
end
return removed
`);
