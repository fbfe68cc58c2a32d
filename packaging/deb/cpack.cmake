# Read by CPack when it packs. Depends: what dpkg-shlibdeps finds the programs to need. CPack would do it itself with
# the program file(1) beside; the programs are known here.
if(NOT CPACK_PACKAGING_INSTALL_PREFIX STREQUAL "/usr")
    message(FATAL_ERROR "the Debian package is of the preset package: ./dev deb")
endif()
set(ENV{LC_ALL} C)
set(work ${CPACK_MELTICA_BINARY_DIR}/packaging/shlibdeps)
file(WRITE ${work}/debian/control "Source: meltica\n\nPackage: meltica\nArchitecture: any\n")
execute_process(COMMAND dpkg-shlibdeps -O ${CPACK_MELTICA_PROGRAMS} WORKING_DIRECTORY ${work}
    OUTPUT_VARIABLE depends ERROR_VARIABLE words RESULT_VARIABLE result)
if(NOT result EQUAL 0 OR NOT depends MATCHES "^shlibs:Depends=([^\n]+)\n$")
    message(FATAL_ERROR "dpkg-shlibdeps: ${result} ${depends}${words}")
endif()
# The Adapter checks the exchange by the system's authorities.
set(CPACK_DEBIAN_PACKAGE_DEPENDS "${CMAKE_MATCH_1}, ca-certificates")
