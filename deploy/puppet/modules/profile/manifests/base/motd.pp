# What an operator reads on logging in.
#
# @param release The site's release, shown to whoever wonders what is on the host.
# @param contact Whom to ask.
# @param note What is special about this host, if anything.
class profile::base::motd (
  String           $release,
  String           $contact,
  Optional[String] $note = undef,
) {
  $about = {
    'release'  => $release,
    'contact'  => $contact,
    'note'     => $note,
    'instance' => $facts['tarmak']['instance'],
    'role'     => $facts['tarmak']['role'],
    'pool'     => $facts['tarmak']['pool'],
    'cluster'  => $facts['tarmak']['cluster'],
  }
  site::file {
    '/etc/motd':      content => epp('profile/motd.epp', $about);
    '/etc/issue':     content => "${facts['tarmak']['instance']} \\l\n";
    '/etc/issue.net': content => "Authorised use only.\n";
    '/etc/site-release':
      content => "${release}\n";
  }
}
