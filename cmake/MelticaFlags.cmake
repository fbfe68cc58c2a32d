# One interface target carries the warnings, so that no flag is global but those every object needs.
add_library(meltica_warnings INTERFACE)
target_compile_options(meltica_warnings INTERFACE
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes
    -Wcast-qual -Wwrite-strings -Wformat=2 -Wundef -Wvla -Wimplicit-fallthrough -fno-common
    # snprintf cuts on purpose here: every fixed buffer has its named size.
    -Wno-format-truncation)
target_compile_definitions(meltica_warnings INTERFACE _GNU_SOURCE)
if(MLT_WERROR)
    target_compile_options(meltica_warnings INTERFACE -Werror)
endif()

add_compile_options(-fno-omit-frame-pointer "-ffile-prefix-map=${CMAKE_SOURCE_DIR}/=")
if(MLT_SANITIZE)
    add_compile_options(-fsanitize=${MLT_SANITIZE} -fno-sanitize-recover=all)
    add_link_options(-fsanitize=${MLT_SANITIZE})
elseif(CMAKE_BUILD_TYPE STREQUAL "Release" OR CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
    # Hardened, as docs/security.md says and test_hardening reads from the programs.
    set(MLT_HARDENED ON)
    set(CMAKE_POSITION_INDEPENDENT_CODE ON)
    add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection)
    if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|i.86")
        add_compile_options(-fcf-protection)
    elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
        add_compile_options(-mbranch-protection=standard)
    endif()
    add_link_options($<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:-pie> -Wl,-z,relro,-z,now -Wl,-z,noexecstack)
endif()
if(MLT_COVERAGE)
    add_compile_options(--coverage)
    add_link_options(--coverage)
endif()
# Hundreds of programs with all that debuggers want to know: the quick linker, where there is one. What is shipped has the platform's.
if(MLT_SANITIZE OR CMAKE_BUILD_TYPE STREQUAL "Debug")
    find_program(MLT_LLD ld.lld)
    if(MLT_LLD)
        add_link_options(-fuse-ld=lld)
    endif()
endif()
