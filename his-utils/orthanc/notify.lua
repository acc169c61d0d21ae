-- SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Tells GNU Health that this Orthanc received something, so that it looks for
-- it at once. How it is installed is in doc/operation.rst.

-- Both are shown by "New Secret" of the server in GNU Health.
local URL = 'https://his.example.org/health/imaging/orthanc/changed'
local SECRET = ''

-- Seconds. Lua holds up all that Orthanc receives while it waits for an answer,
-- so it waits shortly, and rarely when there is none.
local PATIENCE = 2
-- After a notice GNU Health looks again for longer than this.
local PAUSE = 10
local LONGEST_PAUSE = 300
local ANSWER = 'ok'

local sent, pause = 0, 0

-- Orthanc before 1.11.1 cannot be told how long to wait, so curl does it in the
-- background. What it needs comes through a pipe, where nobody reads it.
local CURL = '{ { command -v curl >/dev/null && exec curl -q -K -; cat; } ' ..
   '<&3 >/dev/null 2>&1 & } 3<&0'

local function post_by_curl()
   local curl = io.popen(CURL, 'w')
   curl:write(
      'url = "' .. URL .. '"\n' ..
      'header = "Authorization: Bearer ' .. SECRET .. '"\n' ..
      'header = "Content-Type: application/json"\n' ..
      'data = "{}"\n' ..
      'max-time = ' .. PATIENCE .. '\n' ..
      'retry = 5\nretry-delay = 5\nretry-connrefused\n')
   curl:close()
   return ANSWER
end

local function post()
   if not SetHttpTimeout then
      return post_by_curl()
   end
   SetHttpTimeout(PATIENCE)
   return HttpPost(URL, '{}', {
      ['Authorization'] = 'Bearer ' .. SECRET,
      ['Content-Type'] = 'application/json',
   })
end

-- Give notice, unless it was given in the last seconds.
local function notify(seconds)
   local start = os.time()
   local since = start - sent
   if since >= 0 and since < math.max(seconds, pause) then
      return
   end
   local ok, answer = pcall(post)
   sent = os.time()
   -- Orthanc gives no status, and an empty text for an error.
   if ok and answer == ANSWER then
      pause = 0
   else
      -- The longer it held Orthanc up, the later it tries again.
      pause = math.max(pause * 2, PAUSE, (sent - start) * 20)
      pause = math.min(pause, LONGEST_PAUSE)
   end
end

-- Other scripts may have functions of these names: they are still called.
local function after(former, seconds)
   return function (...)
      if former then
         former(...)
      end
      notify(seconds)
   end
end

OnStoredInstance = after(OnStoredInstance, PAUSE)
OnStableStudy = after(OnStableStudy, 1)

-- With LuaHeartBeatPeriod (Orthanc 1.11.1), a notice that failed is repeated
-- though nothing more comes.
local beat = OnHeartBeat

function OnHeartBeat()
   if beat then
      beat()
   end
   if pause > 0 then
      notify(PAUSE)
   end
end
