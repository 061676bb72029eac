# The way in for people: keys only, and only for those who are known.
#
# @param settings Settings of sshd.
# @param banner Shown before a login.
class profile::base::ssh (
  Hash[String, Scalar] $settings,
  String               $banner,
) {
  site::file {
    '/etc/ssh/sshd_config.d/10-site.conf':
      content => epp('profile/sshd.conf.epp', { 'settings' => $settings }),
      mode    => '0600',
      restart => 'ssh';
    '/etc/ssh/ssh_config.d/10-site.conf':
      content => "Host *\n    HashKnownHosts no\n    ServerAliveInterval 30\n";
    '/etc/ssh/banner':
      content => "${banner}\n",
      restart => 'ssh';
  }
  site::service { 'ssh': }
}
