# What is worth keeping, saved by cron.
#
# @param target Where backups go.
# @param jobs By name: the command (the file to write is in $out), when, and how many to keep.
class profile::backup (
  Stdlib::Absolutepath $target,
  Hash[String, Struct[{
    command => String,
    at      => String,
    keep    => Integer[1],
  }]]                  $jobs,
) {
  site::dir {
    '/usr/local/lib/backup': ;
    $target:                 mode => '0700';
  }
  $jobs.each |$name, $job| {
    site::file {
      "/usr/local/lib/backup/${name}":
        mode    => '0755',
        content => epp('profile/backup.sh.epp', {
          'name' => $name, 'target' => $target, 'keep' => $job['keep'], 'command' => $job['command'],
        });
      "/etc/cron.d/backup-${name}":
        content => "${job['at']} root /usr/local/lib/backup/${name}\n";
    }
  }
}
