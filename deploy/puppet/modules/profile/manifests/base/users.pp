# People, as what their access consists of: files with their keys, and what they may do as root.
#
# @param users By login: their keys, whether they may become root, and the name of the person.
class profile::base::users (
  Hash[String, Struct[{
    comment => String,
    keys    => Array[String, 1],
    sudo    => Optional[Boolean],
  }]] $users,
) {
  $users.each |$login, $user| {
    site::file { "/etc/ssh/authorized_keys.d/${login}":
      content => epp('profile/authorized_keys.epp', { 'login' => $login } + $user),
    }
    if $user['sudo'] {
      site::file { "/etc/sudoers.d/60-${login}":
        content => "${login} ALL=(ALL:ALL) NOPASSWD: ALL\n",
        mode    => '0440',
      }
    }
  }
}
