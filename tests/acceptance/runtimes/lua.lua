local posix = require 'posix'

local function must(what, done, why)
    if not done then error(what .. ': ' .. tostring(why), 0) end
end

local function change()
    must('chown', posix.chown('f', 1, 1))
end

-- It has no setgroups.
local function drop()
    must('setgid', posix.setpid('g', 1))
    must('setuid', posix.setpid('u', 1))
end

local mode = arg[1]
if mode == 'chown' then
    change()
    print 'changed'
elseif mode == 'owner' then
    change()
    local now = posix.stat 'f'
    if now.uid ~= 1 or now.gid ~= 1 then error(('still %d:%d'):format(now.uid, now.gid), 0) end
    print '1:1'
elseif mode == 'drop' then
    drop()
    local is = posix.getpid()
    if is.uid ~= 1 or is.euid ~= 1 then error('still ' .. is.uid, 0) end
    if is.gid ~= 1 or is.egid ~= 1 then error('group ' .. is.gid, 0) end
    if posix.setpid('u', 0) then error('root again', 0) end
    print 'dropped'
else
    drop()
    local child = io.popen('id -u'):read 'n'
    if child ~= 1 then error('child is ' .. child, 0) end
    print 'child is 1'
end
