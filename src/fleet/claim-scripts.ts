import type { Redis } from 'ioredis';

import { parseRegistryReference } from '../internal.ts';
import { isFleetName } from './document.ts';

/** Before the hash of the URL of an archive, which is claimed as blobs are by their digests, but for itself. */
export const archiveMark = 'u';

/**
 * What Redis has of the blobs of a batch, under the key of its claims:
 *
 * - the key itself: by blob, `h<order>/<run>/<number>` for the try that has claimed it, or `d<order>` once it is delivered,
 * - `:places`: by order, where what that try has delivered is, `p/<run>/…` if it was pushed and `s/<run>/…` if the run serves it,
 * - `:jobs`: by `<run>/<number>` the order of each try that goes on,
 * - `:waiting:<blob>`: who waits, first come first; `o…` for those who do not claim.
 *
 * A run is a process of a worker. It lives as long as its key is there, or was missed for a short time only.
 */
const shared = `
local claims, life, channel, batch, missedMs, ttlMs = KEYS[1], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local run, token, mayHold = ARGV[6], ARGV[7], ARGV[8] == '1'
local jobs, places, news, lives = claims .. ':jobs', claims .. ':places', {}, {}
local time = redis.call('time')
local nowMs = time[1] * 1000 + math.floor(time[2] / 1000)

local function isAlive(other)
  if lives[other] ~= nil then return lives[other] end
  lives[other] = true
  if redis.call('exists', life .. other) == 0 then
    local gone = life .. other .. ':gone'
    local sinceMs = redis.call('get', gone)
    if not sinceMs then
      redis.call('set', gone, string.format('%.0f', nowMs), 'PX', 60000)
    elseif nowMs - tonumber(sinceMs) >= missedMs then
      lives[other] = false
    end
  end
  return lives[other]
end

local function runOf(value) return string.match(value, '^%w-/([^/]+)/') or '' end
local function waitingFor(blob) return claims .. ':waiting:' .. blob end

local function passOn(blob)
  local waiting = waitingFor(blob)
  if redis.call('exists', waiting) == 1 then news[#news + 1] = blob end
  for _, member in ipairs(redis.call('zrange', waiting, 0, -1)) do
    if string.sub(member, 1, 1) == 'h' then
      redis.call('zrem', waiting, member)
      if isAlive(runOf(member)) then
        redis.call('hset', claims, blob, member)
        return member
      end
    end
  end
  redis.call('hdel', claims, blob)
  return nil
end

local function tell()
  if #news > 0 then redis.call('publish', channel, batch .. ' ' .. table.concat(news, ' ')) end
end
`;

/** Claims blobs. @returns for each of them `go`, `wait`, or the place where it is */
const claimScript = `${shared}
local order = redis.call('hget', jobs, token)
local isNew = not order
if isNew then
  order = redis.call('hincrby', jobs, '#', 1)
  redis.call('hset', jobs, token, order)
end
order = tonumber(order)
local me = (mayHold and 'h' or 'o') .. string.format('%.0f', order) .. '/' .. token

local function stateOf(blob)
  local value = redis.call('hget', claims, blob)
  if not value then return nil end
  if string.sub(value, 1, 1) ~= 'd' then
    if isAlive(runOf(value)) then return value end
    return passOn(blob)
  end
  local place = redis.call('hget', places, string.sub(value, 2))
  if place and (string.sub(place, 1, 1) == 'p' or isAlive(runOf(place))) then return place end
  redis.call('hdel', claims, blob)
  return nil
end

local answers = {}
for at = 9, #ARGV do
  local blob = ARGV[at]
  local value, answer = stateOf(blob), 'go'
  if not value then
    if mayHold then redis.call('hset', claims, blob, me) end
  elseif string.sub(value, 1, 1) ~= 'h' then
    answer = value
  elseif value ~= me then
    local isOfRun = runOf(value) == run
    local isBefore = tonumber(string.match(value, '^h(%d+)/')) < order
    if not isOfRun and (isBefore or string.sub(blob, 1, 1) == '${archiveMark}') then answer = 'wait' end
    if answer == 'wait' or (isOfRun and mayHold) then
      redis.call('zadd', waitingFor(blob), order, me)
      redis.call('pexpire', waitingFor(blob), ttlMs)
    end
  end
  answers[#answers + 1] = answer
end
if isNew then
  redis.call('pexpire', claims, ttlMs, 'NX')
  redis.call('pexpire', jobs, ttlMs, 'NX')
end
tell()
return answers`;

/** Gives claims back. A place says where the blobs are now; without one they are free. With \`1\` behind it, the try goes on. */
const endScript = `${shared}
local place, goesOn = ARGV[9], ARGV[10] == '1'
local order = redis.call('hget', jobs, token)
if not order then return 0 end
local me = (mayHold and 'h' or 'o') .. order .. '/' .. token
if place ~= '' then
  redis.call('hset', places, order, place)
  redis.call('pexpire', places, ttlMs, 'NX')
end
for at = 11, #ARGV do
  local blob = ARGV[at]
  redis.call('zrem', waitingFor(blob), me)
  if place ~= '' then
    redis.call('hset', claims, blob, 'd' .. order)
    if redis.call('del', waitingFor(blob)) == 1 then news[#news + 1] = blob end
  elseif redis.call('hget', claims, blob) == me then
    passOn(blob)
  end
end
if not goesOn then redis.call('hdel', jobs, token) end
tell()
return 1`;

type ScriptedRedis = Redis & {
  longshoreClaim(claims: string, ...values: (string | number)[]): Promise<readonly string[]>;
  longshoreEnd(claims: string, ...values: (string | number)[]): Promise<unknown>;
};

export function withScripts(redis: Redis): ScriptedRedis {
  redis.defineCommand('longshoreClaim', { numberOfKeys: 1, lua: claimScript });
  redis.defineCommand('longshoreEnd', { numberOfKeys: 1, lua: endScript });
  return redis as ScriptedRedis; // with what was just defined
}

/** Where a blob is: who writes to Redis may have written it. */
export type BlobPlace = {
  /** The name of the worker. */
  readonly worker: string;
  /** The repository of the image that was brought. */
  readonly host: string;
  readonly repository: string;
  /** It was pushed to the target of the batch. */
  readonly isPushed: boolean;
};

export function formatPlace(reach: 'served' | 'pushed', run: string, worker: string, name: string): string {
  return `${reach === 'pushed' ? 'p' : 's'}/${run}/${worker}/${name}`;
}

/** @returns undefined for what is no place: anybody may have written it */
export function parsePlace(text: string): BlobPlace | undefined {
  const [, reach, worker = '', name = ''] = /^([ps])\/[^/]+\/([^/]+)\/(.+)$/.exec(text) ?? [];
  if (!isFleetName(worker)) return undefined;
  try {
    const { host, repository } = parseRegistryReference(`${name}:a`);
    return `${host}/${repository}` === name ? { worker, host, repository, isPushed: reach === 'p' } : undefined;
  } catch {
    return undefined;
  }
}
