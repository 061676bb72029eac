# Whether a service is run here: the one place that decides it. Its files are written in any case.
#
# Not in a developer's directory, and not without systemd. Not in a container, if it is the kernel's or
# the clock's (`site::services::of_the_kernel`). And not as long as its program is missing, if that
# is one that no Debian package brings (`site::services::programs`).
#
# @param service The name of the service.
function site::runs(String $service) >> Boolean {
  $program = lookup('site::services::programs')[$service]

  site::is_host()
    and $facts['service_provider'] == 'systemd'
    and !(site::is_container() and $service in lookup('site::services::of_the_kernel'))
    and ($program =~ Undef or find_file($program) =~ String)
}
