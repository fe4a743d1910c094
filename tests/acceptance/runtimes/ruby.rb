def change
  File.chown(1, 1, 'f')
  File.open('f') { |file| file.chown(1, 1) }
  File.lchown(1, 1, 'l')
end

def drop
  Process.groups = [1]
  Process::GID.change_privilege(1)
  Process::UID.change_privilege(1)
end

case ARGV[0]
when 'chown'
  change
  puts 'changed'
when 'owner'
  change
  now = File.stat('f')
  abort "still #{now.uid}:#{now.gid}" unless [now.uid, now.gid] == [1, 1]
  puts '1:1'
when 'drop'
  # A thread that is there already.
  go = Queue.new
  thread = Thread.new { go.pop && Process.uid }
  drop
  go << true
  abort "still #{Process.uid}, the thread #{thread.value}" unless [Process.uid, Process.euid, thread.value] == [1, 1, 1]
  abort "groups #{Process.gid} #{Process.groups}" unless [Process.gid, Process.egid, Process.groups] == [1, 1, [1]]
  begin
    Process::Sys.setuid(0)
    abort 'root again'
  rescue Errno::EPERM
    puts 'dropped'
  end
else
  drop
  child = `id -u`.to_i
  abort "child is #{child}" unless child == 1
  puts 'child is 1'
end
