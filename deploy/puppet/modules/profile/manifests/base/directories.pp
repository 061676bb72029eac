# Directories that several profiles put files into. On a host most of them are there; in a
# developer's directory none is.
#
# @param paths Each directory, and what is special about it.
class profile::base::directories (
  Hash[Stdlib::Absolutepath, Hash] $paths,
) {
  $paths.each |$path, $options| {
    site::dir { $path:
      * => $options,
    }
  }
}
